"""Which artifacts did a step say it read and made, in Tekton's provenance.json?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.language.substitute import Key, Scope, Value
from touchstone.errors import ManifestError

_LIMIT = 1 << 20
"""Bytes of the file: Tekton itself takes less than the 4096 of a termination message."""

Artifacts = dict[str, list[dict[str, Any]]]
"""`inputs` and `outputs`, each a list of artifacts with `name` and `values` (uri and digest)."""


def raw_artifacts(folder: Path) -> bytes:
    """The file in the folder of a step or TaskRun; empty where it is not there.

    Raises ManifestError for what is no regular file or too large.
    """
    try:
        content = beneath.read(folder, "artifacts/provenance.json", limit=_LIMIT)
    except FileNotFoundError:
        return b""
    except NotPlainError as error:
        raise ManifestError(f"artifacts: {error.problem}") from None
    if len(content) > _LIMIT:
        raise ManifestError(f"artifacts: got more than {_LIMIT} bytes, expected at most these")
    return content


def parsed(content: bytes) -> Artifacts:
    """What such a file says. Raises ManifestError for other content."""
    if not content:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"artifacts: got broken JSON ({error}), expected an object") from None
    sides = {side: found.get(side) for side in ("inputs", "outputs")} if _is_map(found) else None
    if sides is None or not all(_is_side(side) for side in sides.values()):
        raise ManifestError("artifacts: got JSON of another form, expected inputs and outputs")
    return {side: items for side, items in sides.items() if items}


def scope_of_step(step: str, artifacts: Artifacts) -> Scope:
    """What $(steps.STEP.outputs.NAME) stands for: the artifact's values as JSON."""
    values: dict[Key, Value] = {}
    for side, items in artifacts.items():
        for item in items:
            text = json.dumps(item.get("values", []), separators=(",", ":"))
            values["steps", step, side, str(item.get("name", ""))] = text
    return Scope(values)


def merged(into: Artifacts, more: Artifacts) -> Artifacts:
    """Both together, an artifact of one name holding the values of both, each once."""
    result: Artifacts = {side: [dict(item) for item in items] for side, items in into.items()}
    for side, items in more.items():
        known = {item.get("name"): item for item in result.setdefault(side, [])}
        for item in items:
            mine = known.get(item.get("name"))
            if mine is None:
                result[side].append(dict(item))
                continue
            new = [value for value in item.get("values", []) if value not in mine["values"]]
            mine["values"] = [*mine.get("values", []), *new]
    return result


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_side(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(
        _is_map(item) and isinstance(item.get("values", []), list) for item in value
    )
