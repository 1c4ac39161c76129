"""Which value has each declared param, and does it have the declared type?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.engine.language.substitute import Value, parse, plain_references, scope_of
from touchstone.errors import ManifestError

_DEEPEST = 10
"""How many defaults of a Pipeline may refer to one another in a row, as in Tekton."""

_REFERS = "$(params."
"""What a default of a Task's param is searched for; with the name in brackets it is plain text."""

_REFERENCE = re.compile(r"\$\(params\.(.*?)\)")


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


def pipeline_params(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], *, of: str
) -> dict[str, Value]:
    """The value of every declared param of a Pipeline; params nobody declared are kept.

    A default may refer to given params and to other defaults, and a string's to nothing else. An
    object given in part has no other keys. `of` says whose params these are, in messages. Raises
    ManifestError for what does not fit, and for a default that refers to nothing or to itself.
    """
    _check(specs, given, of)
    values: dict[str, Value] = dict(given)
    defaults = {
        spec["name"]: as_value(spec["default"])
        for spec in specs
        if "default" in spec and spec["name"] not in given
    }
    strings = {name: text for name, text in defaults.items() if isinstance(text, str)}

    def settle(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ManifestError(
                f'{of}: parameter resolution failed: circular dependency detected in param "{name}"'
            )
        if len(above) > _DEEPEST:
            raise ManifestError(
                f"{of}: parameter resolution failed: maximum recursion depth ({_DEEPEST}) exceeded"
                f' for param "{name}"'
            )
        named = [key for key in plain_references(strings[name]) if key[0] == "params" and key[1:]]
        for key in named:
            if key[1] in strings and len(key) == 2:
                if key[1] not in values:
                    settle(key[1], (*above, name))
            elif not isinstance(scope_of(("params",), values).find(key), str):
                raise ManifestError(
                    f'{of}: parameter resolution failed: param "{name}" references undefined param'
                    f' "{".".join(key[1:])}"'
                )
        values[name] = scope_of(("params",), values).text(strings[name]) if named else strings[name]

    for name in strings:
        if name not in values:
            settle(name, ())
    for name, default in sorted(defaults.items(), key=lambda item: isinstance(item[1], dict)):
        scope = scope_of(("params",), values)
        if isinstance(default, list):
            values[name] = [scope.text(item) for item in default]
        elif isinstance(default, dict):
            values[name] = {key: scope.text(item) for key, item in default.items()}
    return values


def task_params(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], *, of: str
) -> dict[str, Value]:
    """The value of every declared param of a Task; params nobody declared are kept.

    As in Tekton a string's default may refer to the *defaults* of other params: the last of its
    references that names one is replaced. Without any, the param has no value, and references to
    it stay as they are. Raises ManifestError for what does not fit.
    """
    _check(specs, given, of)
    values: dict[str, Value] = {}
    referring: dict[str, str] = {}
    for spec in specs:
        default = as_value(spec.get("default", ""))
        if isinstance(default, str) and _REFERS in default:
            referring[spec["name"]] = default
        elif "default" in spec:
            values[spec["name"]] = default
    for name, default in referring.items():
        scope = scope_of(("params",), values)
        for other in re.findall(_REFERENCE, default):
            key = parse(f"params.{other}")
            found = scope.find(key) if key else None
            if isinstance(found, str):
                values[name] = default.replace(f"{_REFERS}{other})", found)
    return _under(values, given)


def action_params(
    specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], *, of: str
) -> dict[str, Value]:
    """The value of every declared param of a StepAction.

    A string's default may refer to the other params, in whatever order they are declared. Raises
    ManifestError for what does not fit, and for a default that refers to nothing or to itself.
    """
    _check(specs, given, of)
    defaults = {spec["name"]: as_value(spec["default"]) for spec in specs if "default" in spec}
    waiting = {
        name: default
        for name, default in defaults.items()
        if name not in given and isinstance(default, str) and _REFERS in default
    }
    known = {name: default for name, default in defaults.items() if name not in waiting}
    values = _under(known, given)
    while waiting:
        named = {name: re.findall(_REFERENCE, default) for name, default in waiting.items()}
        ready = [name for name, others in named.items() if values.keys() >= set(others)]
        if not ready:
            name, default = next(iter(waiting.items()))
            raise ManifestError(
                f"{of}: parameter resolution failed: got {default!r} as the default of {name},"
                " expected references to params that do not refer back to it"
            )
        for name in ready:
            text = waiting.pop(name)
            for other in named[name]:
                value = values[other]
                text = text.replace(f"{_REFERS}{other})", value if isinstance(value, str) else "")
            values[name] = text
    return values


def _under(defaults: Mapping[str, Value], given: Mapping[str, Value]) -> dict[str, Value]:
    """The defaults under the given values; an object given in part keeps the default's keys."""
    return {
        **defaults,
        **{name: _over(defaults.get(name), value) for name, value in given.items()},
    }


def _over(default: Value | None, value: Value) -> Value:
    both = isinstance(default, dict) and isinstance(value, dict)
    return {**default, **value} if both else value  # type: ignore[dict-item]


def _check(specs: Sequence[Mapping[str, Any]], given: Mapping[str, Value], of: str) -> None:
    """Refuse a missing param or key of an object, a wrong type, a value outside the enum."""
    found = misfits(specs, given)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfits:
    """Which given params do not fit the declared ones; every caller has words of its own for it."""

    declared: Mapping[str, Mapping[str, Any]]
    """The declarations by name."""

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
        missing=[n for n, spec in declared.items() if "default" not in spec and n not in given],
        wrong_types=wrong,
        outside_enum=outside,
        lacking_keys=lacking,
    )


def _is_reference(value: Value) -> bool:
    return isinstance(value, str) and value.startswith("$(") and value.endswith(")")


def _keys(value: Value) -> dict[str, str]:
    return value if isinstance(value, dict) else {}


def _text(item: Any) -> str:
    if isinstance(item, float) and item.is_integer() and abs(item) < 1e21:
        item = int(item)  # JSON has one kind of number: 1.0 reaches Tekton as 1
    return item if isinstance(item, str) else json.dumps(item)
