"""The CycloneDX bill of materials of a judged model: what it is made of and how it was found.

An ML-BOM (https://cyclonedx.org/capabilities/mlbom): the model as a `machine-learning-model` with
its model card, the data by digest and the libraries by version. cyclonedx-python-lib has no model
cards yet, so the document is written here; a test holds it against that library's official schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from trust_gates.report.reading import Report
from trust_gates.verdict import Check

SPEC = "1.6"
_DIGITS = len("sha256:")


def of(report: Report) -> dict[str, Any]:
    """The bill of materials, without a time: equal verdicts have equal ones."""
    verdict = report.verdict
    data = [_data(name, verdict) for name in ("dataset", "data") if verdict.get(name)]
    known = {**verdict.get("software", {}), **verdict.get("packages", {}).get("versions", {})}
    libraries = [library(name, version) for name, version in sorted(known.items())]
    model = _model(report, data)
    identity = ":".join(str(verdict.get(name, "")) for name in ("model", "run", "commit"))
    return {
        **head(identity),
        "metadata": {"component": model},
        "components": [*data, *libraries],
        "dependencies": [
            {"ref": "model", "dependsOn": [part["bom-ref"] for part in (*data, *libraries)]}
        ],
    }


def head(identity: str) -> dict[str, Any]:
    """What every bill of materials starts with; an equal identity has an equal number."""
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, 'touchstone.dev/bom/' + identity)}",
        "version": 1,
    }


def library(name: str, version: str) -> dict[str, Any]:
    """A Python package, or Python itself, by version."""
    if name == "python":
        return {"type": "platform", "bom-ref": name, "name": name, "version": version}
    return package(f"pypi/{name}", name, version)


def package(path: str, name: str, version: str, qualifiers: str = "") -> dict[str, Any]:
    """A package by its address (https://github.com/package-url/purl-spec) but for the version."""
    purl = f"pkg:{path}@{quote(version, safe='.')}{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _model(report: Report, data: list[dict[str, Any]]) -> dict[str, Any]:
    verdict = report.verdict
    stated = verdict.get("card", {})
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": verdict.get("name") or "model",
        "version": verdict.get("commit") or "unknown",
        **_hashes(verdict.get("model")),
        "modelCard": {
            "modelParameters": _parameters(verdict, data),
            "quantitativeAnalysis": {
                "performanceMetrics": [_metric(c) for c in report.checks if _measured(c)]
            },
            "considerations": _considerations(stated),
        },
    }
    if stated.get("license"):
        component["licenses"] = [{"license": {"name": stated["license"]}}]
    if stated.get("owner"):
        component["supplier"] = {"name": stated["owner"]}
    return component


def _parameters(verdict: Mapping[str, Any], data: list[dict[str, Any]]) -> dict[str, Any]:
    facts = verdict.get("facts", {})
    found: dict[str, Any] = {
        "approach": {"type": "supervised"},
        "datasets": [{"ref": component["bom-ref"]} for component in data],
    }
    if facts.get("task"):
        found["task"] = facts["task"]
        classes = ", ".join(facts.get("classes", [])) or "a number"
        found["outputs"] = [{"format": f"{facts['task']}: {classes}"}]
    if facts.get("entrypoint"):
        found["modelArchitecture"] = facts["entrypoint"]
    if facts.get("inputs"):
        shape = " x ".join(str(side) for side in facts["inputs"].get("shape", []))
        found["inputs"] = [{"format": f"{facts['inputs'].get('kind', 'float32')} {shape}".strip()}]
    return found


def _considerations(stated: Mapping[str, str]) -> dict[str, Any]:
    fields = {
        "useCases": ("purpose", "intendedUse", "domain", "optimalConditions"),
        "technicalLimitations": ("limits", "poorConditions"),
    }
    found = {name: [stated[k] for k in keys if stated.get(k)] for name, keys in fields.items()}
    return {name: texts for name, texts in found.items() if texts}


def _measured(check: Check) -> bool:
    values = (check.measured, check.interval.low, check.interval.high)
    return all(value == value for value in values)  # NaN differs from itself


def _metric(check: Check) -> dict[str, Any]:
    return {
        "type": check.name,
        "value": f"{check.measured:.6g}",
        "slice": f"{check.gate}: {check.samples} samples",
        "confidenceInterval": {
            "lowerBound": f"{check.interval.low:.6g}",
            "upperBound": f"{check.interval.high:.6g}",
        },
    }


def _data(name: str, verdict: Mapping[str, Any]) -> dict[str, Any]:
    facts = verdict.get("facts", {})
    described: dict[str, Any] = {"type": "dataset", "name": name}
    if facts.get("uri"):
        described["contents"] = {"properties": [{"name": "uri", "value": facts["uri"]}]}
    return {
        "type": "data",
        "bom-ref": f"data:{name}",
        "name": name,
        "version": verdict[name],
        **_hashes(verdict[name]),
        "data": [described],
    }


def _hashes(digest: str | None) -> dict[str, Any]:
    """A tree's digest is the SHA-256 of its listing, which names every file's."""
    if not digest or not digest.startswith("sha256:"):
        return {}
    return {"hashes": [{"alg": "SHA-256", "content": digest[_DIGITS:]}]}
