"""The keys of a policy as the Markdown table that docs/ shows, made from the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trust_gates.gates import Gates
from trust_gates.policy import Strict

_MOST_NAMES = 6
"""Longer lists of names have a table of their own."""

_SIGNS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}

Schema = Mapping[str, Any]


def table(gate: str) -> str:
    """The keys of a gate's policy."""
    known = Gates.model_json_schema()["$defs"]
    return _rows(known[gate.capitalize()], known)


def table_of(model: type[Strict]) -> str:
    """The keys of any other model."""
    schema = model.model_json_schema()
    return _rows(schema, schema.get("$defs", {}))


def _rows(own: Schema, known: Mapping[str, Schema]) -> str:
    """Every key: what it takes, what it is where it is left out, and what it means."""
    rows = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in own["properties"].items():
        default = "required" if key in own.get("required", ()) else _default(field.get("default"))
        cells = (f"`{key}`", _takes(field, known), default, field["description"])
        rows.append("| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    written = json.dumps(value).replace('"', "")  # as YAML needs none
    return f"`{written}`" if value not in (None, "", [], {}) else "–"


def _takes(field: Schema, known: Mapping[str, Schema]) -> str:
    if "anyOf" in field:
        found = [_takes(one, known) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(found))
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        keys = known[field["$ref"].rpartition("/")[2]]["properties"]
        return "{" + ", ".join(f"`{key}`" for key in keys) + "}"
    if "enum" in field and len(field["enum"]) <= _MOST_NAMES:
        return ", ".join(f"`{name}`" for name in field["enum"])
    match field.get("type"):
        case "array" if "prefixItems" in field:
            return "[low, high]"
        case "array":
            return f"list of {_takes(field['items'], known)}"
        case "object":
            return f"{_takes(field['additionalProperties'], known)} by name"
        case list():
            return "name"
        case kind:
            bounds = [f"{sign} {field[name]:g}" for name, sign in _SIGNS.items() if name in field]
            return " ".join([str(kind), *([", ".join(bounds)] if bounds else [])])
