"""Do declared params hold together, and do given ones fit the declared? (param_types.go)"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from touchstone.documents.naming import check_unique
from touchstone.documents.problems import Field
from touchstone.engine.language.values import as_value, declared_type, misfits, type_of

Json = Mapping[str, Any]

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9.-]*")
_OBJECT = re.compile(r"[_a-zA-Z][_a-zA-Z0-9-]*")
_RESULT = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def check_params(holder: Field, *, of_task: bool = True) -> None:
    """Declared params: names, types, properties, defaults and enums.

    The webhook holds only those `of_task` to a form of names, and objects to their properties.
    """
    check_unique(holder.each("params"))
    for param in holder.each("params"):
        kind = declared_type(param.value)
        if of_task:
            form = _OBJECT if kind == "object" else _NAME
            _check_form(param, param.get("name", ""), form, "name")
            for key in param.get("properties", {}):
                _check_form(param, key, _OBJECT, "properties", key)
        _check_properties(param, kind if of_task else "")
        allowed = param.get("enum", [])
        if allowed and kind != "string":
            param.refuse(f"got an enum of {kind}s, expected it for strings only", "enum")
        for value in sorted({value for value in allowed if allowed.count(value) > 1}):
            param.refuse(f"got {value!r} twice, expected values to differ", "enum")
        if "default" in param.value:
            default = as_value(param.get("default"))
            if type_of(default) != kind:
                param.refuse(f"got {type_of(default)}, expected {kind}", "default")
            elif allowed and default and default not in allowed:
                param.refuse(f"got {default!r}, expected one of {', '.join(allowed)}", "default")


def check_results(holder: Field) -> None:
    """Declared results of a Task or step: names, types and properties."""
    check_unique(holder.each("results"), by="embedded")
    for result in holder.each("results"):
        name = result.get("name", "")
        if not _RESULT.fullmatch(name):
            result.refuse(
                f"got {name!r}, expected letters, digits, -, _ and ., a letter or digit first and"
                " last",
                "name",
            )
        _check_properties(result, declared_type({**result.value, "default": ""}))


def is_result_name(text: str) -> bool:
    """Whether a result can have this name."""
    return bool(_RESULT.fullmatch(text))


def _check_form(param: Field, name: str, form: re.Pattern[str], *at: str) -> None:
    if not form.fullmatch(name):
        dots = " and ." if form is _NAME else ""
        param.refuse(
            f"got {name!r}, expected letters, digits, -, _{dots}, a letter or _ first", *at
        )


def _check_properties(declared: Field, kind: str) -> None:
    if kind == "object" and declared.get("properties") is None:
        declared.refuse("got an object without properties, expected its keys")
    for key, item in declared.get("properties", {}).items():
        if item.get("type", "string") != "string":
            declared.refuse(f"got {item['type']}, expected string", "properties", key, "type")


def known_params(*holders: Json) -> dict[str, Json]:
    """Params declared or given by any of these; the first one's declaration wins.

    A given value also tells the keys of an object and the `length` of an array.
    """
    found: dict[str, Json] = {}
    for item in (item for holder in holders for item in holder.get("params", [])):
        name, known = item["name"], dict(found.get(item["name"], {}))
        value = item.get("value")
        keys = value if isinstance(value, Mapping) else {}
        properties = {
            **dict.fromkeys(keys, {"type": "string"}),
            **item.get("properties", {}),
            **known.get("properties", {}),
        }
        if isinstance(value, list) and "length" not in known and "$(" not in str(value):
            known["length"] = len(value)
        declared = {"name": name, "default": value} if "value" in item else item
        found[name] = {**declared, **known, **({"properties": properties} if properties else {})}
    return found


def check_given(holder: Field, specs: Sequence[Json], given: Mapping[str, Any]) -> None:
    """Values against declarations: all there, of the right type.

    Tekton looks at this when the run starts, and fails it. A param that is not declared is given
    all the same.
    """
    found = misfits(specs, given, unresolved=True)
    places = holder.names("params")

    def refuse(problem: str, name: str, part: str) -> None:
        inner = ("params", places.index(name), part) if name in places else ()
        holder.refuse(problem, *inner, by="embedded")

    for name, (got, expected) in found.wrong_types.items():
        refuse(f"got {got}, expected {expected}", name, "value")
    for name, value in found.outside_enum.items():
        allowed = ", ".join(found.declared[name]["enum"])
        refuse(f"got {value!r}, expected one of {allowed}", name, "value")
    if found.missing:
        missing = ", ".join(found.missing)
        holder.refuse(f"got no value for param {missing}, which has no default", by="embedded")


def check_bound(holder: Field, declared: Iterable[Json], bound: Iterable[str]) -> None:
    """Every workspace that is not optional is bound; Tekton fails a run where one is not."""
    names = set(bound)
    for workspace in declared:
        if workspace["name"] not in names and not workspace.get("optional"):
            holder.refuse(
                f"got no binding for workspace {workspace['name']}, which is not optional",
                by="embedded",
            )
