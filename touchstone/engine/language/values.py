"""Which value has each declared param, and does it have the declared type?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.documents import gojson
from touchstone.engine.language.substitute import Scope, Value, references
from touchstone.errors import ManifestError


def as_value(raw: Any) -> Value:
    """A YAML value as Tekton reads a param: strings, lists and mappings of strings, or JSON's text.

    A null is empty; a list or mapping that holds anything but strings is one string, its JSON.
    """
    if isinstance(raw, Mapping) and _are_texts(raw.values()):
        return {str(key): item or "" for key, item in raw.items()}
    if isinstance(raw, list | tuple) and _are_texts(raw):
        return [item or "" for item in raw]
    if raw is None or isinstance(raw, str):
        return raw or ""
    return gojson.dumps(raw)


def _are_texts(items: Iterable[Any]) -> bool:
    return all(item is None or isinstance(item, str) for item in items)


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
    found = misfits(specs, values)
    for name, (got, expected) in found.wrong_types.items():
        raise ManifestError(f"param {name} of {of}: got {got}, expected {expected}")
    for name, value in found.outside_enum.items():
        allowed = ", ".join(found.declared[name]["enum"])
        raise ManifestError(f"param {name} of {of}: got {value!r}, expected one of {allowed}")
    if found.missing:
        raise ManifestError(
            f"{of}: no value for param {', '.join(found.missing)}, which has no default",
            hint=" ".join(f"-p {name}=VALUE" for name in found.missing),
        )
    for name, lacking in found.lacking_keys.items():
        expected = ", ".join(found.declared[name]["properties"])
        raise ManifestError(
            f"param {name} of {of}: got no key {', '.join(lacking)}, expected all of {expected}"
        )
    for name, spec in found.declared.items():
        if isinstance(value := values[name], dict):
            values[name] = {**_keys(as_value(spec.get("default", {}))), **value}
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfits:
    """Which given params do not fit the declared ones; every caller has words of its own for it."""

    declared: Mapping[str, Mapping[str, Any]]
    """The declarations by name."""

    unknown: list[str]
    """Given, and not declared."""

    missing: list[str]
    """Declared without a default, and not given."""

    wrong_types: dict[str, tuple[str, str]]
    """The type got and the type expected."""

    outside_enum: dict[str, Value]
    lacking_keys: dict[str, list[str]]
    """Keys of an object that neither the value nor the default has."""


def misfits(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Any], *, unresolved: bool = False
) -> Misfits:
    """Hold given params against the declared ones.

    With `unresolved` a value may still hold references, which can stand for anything.
    """
    declared = {spec["name"]: spec for spec in specs}
    values = {name: as_value(value) for name, value in given.items() if name in declared}
    wrong, outside, lacking = {}, {}, {}
    for name, value in values.items():
        spec, kind = declared[name], declared_type(declared[name])
        open_ = unresolved and "$(" in str(value)
        if type_of(value) != kind and not (unresolved and _is_reference(value)):
            wrong[name] = (type_of(value), kind)
        elif value and spec.get("enum") and value not in spec["enum"] and not open_:
            outside[name] = value  # Tekton lets an empty one pass
    for name, spec in declared.items():
        whole = _keys(as_value(spec.get("default", {}))) | _keys(values.get(name, {}))
        if name not in wrong and (
            keys := [k for k in spec.get("properties", {}) if k not in whole]
        ):
            lacking[name] = keys
    return Misfits(
        declared=declared,
        unknown=[name for name in given if name not in declared],
        missing=[n for n, spec in declared.items() if "default" not in spec and n not in given],
        wrong_types=wrong,
        outside_enum=outside,
        lacking_keys=lacking,
    )


def _is_reference(value: Value) -> bool:
    return isinstance(value, str) and value.startswith("$(") and value.endswith(")")


def _keys(value: Value) -> dict[str, str]:
    return value if isinstance(value, dict) else {}


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
