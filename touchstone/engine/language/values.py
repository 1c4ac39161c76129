"""Which value has each declared param, and does it have the declared type?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.engine.language.substitute import Scope, Value, references
from touchstone.errors import ManifestError


def as_value(raw: Any) -> Value:
    """A YAML value as Tekton reads a param: scalars become the text of their JSON."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, Mapping):
        return {str(key): _text(item) for key, item in raw.items()}
    if isinstance(raw, list | tuple):
        return [_text(item) for item in raw]
    return _text(raw)


def type_of(value: Value) -> str:
    """string, array or object."""
    return {str: "string", list: "array", dict: "object"}[type(value)]


def declared_type(spec: Mapping[str, Any]) -> str:
    """The type of a param or result: declared, else that of `properties` or of the default."""
    if "type" in spec:
        return str(spec["type"])
    if "properties" in spec:
        return "object"
    return type_of(as_value(spec["default"])) if "default" in spec else "string"


def resolve(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], *, of: str
) -> dict[str, Value]:
    """The value of every declared param, given or default; params nobody declared are kept.

    `of` says whose params these are, in messages. Raises ManifestError for a missing param, a
    wrong type, a missing key of an object or a value outside the enum.
    """
    values = _with_defaults(specs, given, of)
    missing = []
    for spec in specs:
        name, kind = spec["name"], declared_type(spec)
        if name not in values:
            missing.append(name)
            continue
        value = values[name]
        if type_of(value) != kind:
            raise ManifestError(f"param {name} of {of}: got {type_of(value)}, expected {kind}")
        if isinstance(value, dict):
            values[name] = _whole_object(spec, value, of)
        allowed = spec.get("enum")
        if allowed and value and value not in allowed:  # Tekton lets an empty value pass
            raise ManifestError(
                f"param {name} of {of}: got {value!r}, expected one of {', '.join(allowed)}"
            )
    if missing:
        raise ManifestError(
            f"{of}: no value for param {', '.join(missing)}, which has no default",
            hint=" ".join(f"-p {name}=VALUE" for name in missing),
        )
    return values


def _with_defaults(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], of: str
) -> dict[str, Value]:
    """The given values and the defaults of the others, which may refer to one another."""
    values: dict[str, Value] = dict(given)
    waiting = {
        spec["name"]: as_value(spec["default"])
        for spec in specs
        if "default" in spec and spec["name"] not in given
    }
    while waiting:
        ready = [
            name
            for name, default in waiting.items()
            if not any(key[0] == "params" and key[1] in waiting for key in references(default))
        ]
        if not ready:
            raise ManifestError(
                f"{of}: parameter resolution failed: circular dependency detected in param"
                f' "{next(iter(waiting))}"'
            )
        scope = Scope({("params", name): value for name, value in values.items()})
        for name in ready:
            values[name] = scope.apply(waiting.pop(name))
    return values


def _whole_object(spec: Mapping[str, Any], value: dict[str, str], of: str) -> dict[str, str]:
    default = as_value(spec.get("default", {}))
    whole = {**(default if isinstance(default, dict) else {}), **value}
    lacking = [key for key in spec.get("properties", {}) if key not in whole]
    if lacking:
        raise ManifestError(
            f"param {spec['name']} of {of}: got no key {', '.join(lacking)}, expected all of"
            f" {', '.join(spec['properties'])}"
        )
    return whole


def _text(item: Any) -> str:
    if isinstance(item, float) and item.is_integer() and abs(item) < 1e21:
        item = int(item)  # JSON has one kind of number: 1.0 reaches Tekton as 1
    return item if isinstance(item, str) else json.dumps(item)
