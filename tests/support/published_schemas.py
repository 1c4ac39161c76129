"""Would an API server take this object? By the published CRDs: their schemas and their CEL rules.

They are beside the checkout where there are any; a test that needs them is marked `needs_schemas`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from touchstone.documents.cel_host import cel, environment, plain

FOLDER = Path(__file__).parents[3] / "shared" / "crds"

needs_schemas = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the published CRDs are not at {FOLDER}"
)


@cache
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of every published (apiVersion, kind), as the CRD writes it."""
    found = {}
    for file in FOLDER.glob("*.json"):
        crd = json.loads(file.read_text())["spec"]
        for version in crd["versions"]:
            api = f"{crd['group']}/{version['name']}"
            found[api, crd["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return found


def check(document: dict[str, Any]) -> None:
    """Raises ValidationError or AssertionError where the published schema refuses the object."""
    kind = document["apiVersion"], document["kind"]
    _validator(kind).validate(document)
    broken = list(_broken(schemas()[kind], _defaulted(schemas()[kind], document), kind[1]))
    assert not broken, broken


@cache
def _validator(kind: tuple[str, str]) -> Any:
    schema = _strict(schemas()[kind])
    if "properties" in schema:  # Kubernetes itself judges these, written in the CRD or not
        schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    return jsonschema.Draft7Validator(schema)


def _strict(schema: Any) -> Any:
    """The schema as the API server applies it: unknown fields are refused, not pruned."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _strict(value) for key, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
        result.pop("anyOf", None)
    return result


def _defaulted(schema: dict[str, Any], value: Any) -> Any:
    """The value as the API server completes it before it asks the rules."""
    if isinstance(value, list):
        return [_defaulted(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    missing = {key: below["default"] for key, below in known.items() if "default" in below}
    return {key: _defaulted(known.get(key, {}), item) for key, item in {**missing, **value}.items()}


def _broken(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """What the rules of the schema say against the value; those of a change are not asked."""
    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path}: {rule.get('message') or rule['rule']}"
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        for key, item in value.items():
            below = schema.get("properties", {}).get(key, others)
            if isinstance(below, dict):
                yield from _broken(below, item, f"{path}.{key}")
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _broken(schema["items"], item, f"{path}[{index}]")


def _holds(rule: str, value: Any) -> bool:
    return plain(_compiled(rule).eval(data={"self": value})) is True


@cache
def _compiled(rule: str) -> cel.Expression:
    return environment(
        variables={"self": cel.Type.DYN}, libraries=["optional", "strings", "lists", "sets"]
    ).compile(rule)
