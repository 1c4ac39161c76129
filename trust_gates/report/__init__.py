"""The trust report: one verdict document and its pictures, for every kind of reader.

A reviewer reads `trust-report.md` inside a pull request or `trust-report.html` offline; a machine
reads `verdict.json` (its JSON Schema is `verdict.schema.json` in this package) and the CycloneDX
bill of materials `bom.cdx.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

MARKDOWN_FILE = "trust-report.md"
HTML_FILE = "trust-report.html"
VERDICT_FILE = "verdict.json"
BOM_FILE = "bom.cdx.json"


def render(verdict: Mapping[str, Any], pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every file of the report by name: Markdown, HTML, verdict, bill of materials, pictures.

    Args:
        verdict: the document that `Verdict.to_json` begins; see `schema`.
        pictures: PNG images by file name; each is shown below the gate its name begins with.

    Equal inputs give equal bytes: there is no time and no random name in any file.
    """
    from trust_gates.report import bom, html, markdown
    from trust_gates.report.reading import Report

    stored = _json(verdict, separators=(",", ":"))
    report = Report.of(json.loads(stored), pictures)  # as read back: keys come in their order
    return {
        MARKDOWN_FILE: markdown.render(report).encode(),
        HTML_FILE: html.render(report, pictures).encode(),
        VERDICT_FILE: stored,
        BOM_FILE: _json(bom.of(report), indent=2),
        **pictures,
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a verdict document."""
    text = files(__name__).joinpath("verdict.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _json(document: Mapping[str, Any], **form: Any) -> bytes:
    # Without blanks it is the artifact store's form, so that the file's digest is the verdict's.
    return json.dumps(
        document, sort_keys=True, allow_nan=False, ensure_ascii=False, **form
    ).encode()
