"""What does a name in a policy mean? The class, group or feature that the data call so.

A name is the text that its author typed, whatever YAML makes of it: `favorable: 1` is the class
"1", never the second one, and `privileged: [01]` is not "1". A name that the data do not have is
a wrong policy, and so is one that could be two of theirs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from trust_gates.errors import PolicyError
from trust_gates.samples import Task
from trust_gates.visible import characters
from trust_gates.wording import alike

_AS_TYPED = object()

_WHOLE = re.compile(r"^([-+]?\d+)\.0*$")
"""A whole number with decimals."""


def _name(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool | float | NoneType):
        raise ValueError("a name: write it in quotes")
    return value


Name = Annotated[
    str,
    _AS_TYPED,
    BeforeValidator(_name),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""The name of a class, a group, an attribute or a feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The names that the data have; a policy's are held against them."""

    classes: Sequence[str]
    task: Task = "classification"
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each protected attribute's values, those that are declared and do not occur as well."""

    features: Sequence[str] = ()


def find(what: str, wanted: Iterable[str], known: Sequence[str]) -> list[int]:
    """Where the `wanted` names stand among the `known` ones.

    Raises:
        PolicyError: a name is no known one, or another looks the same.
    """
    wanted = list(wanted)
    for problem in unknown(what, wanted, known):
        raise PolicyError(problem)
    places = {name: place for place, name in enumerate(known)}
    return [places[name] for name in wanted]


def unknown(what: str, wanted: Iterable[str], known: Sequence[str]) -> Iterator[str]:
    """Of each of the `wanted` names that is no known one, or that another looks like: why."""
    for name in wanted:
        same = [one for one in known if one != name and _looks(one) == _looks(name)]
        if name not in known:
            hint = f"; write {same[0]!r} as the data do" if same else alike(name, known)
            yield f"got {what} {name!r}, expected one of {_listed(known)}{hint}"
        elif same:
            yield (
                f"got {what} {name!r}, which could be {name!r} or {same[0]!r} of the data; "
                "expected names that do not look the same: rename one in the data"
            )


def same_number(text: str, known: Iterable[str]) -> list[str]:
    """The `known` names that are the number `text` is; none where it is no number."""
    value = number(text)
    return [] if value is None else [one for one in known if number(one) == value]


def number(text: str) -> float | None:
    """The finite number that a text is, in decimal digits; None for any other."""
    try:
        value = float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        return None
    return value if value - value == 0 else None


def ordered(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of their numbers where all are numbers, else of their letters."""
    known = sorted(set(names))
    numbers = [number(name) for name in known]
    if any(one is None for one in numbers):
        return known
    return [name for _, name in sorted(zip(numbers, known, strict=True))]


def some(names: Sequence[str], most: int = 8) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def as_typed(model: type[BaseModel], body: Any, text: str) -> Any:
    """A YAML document's body in which every field that is a `Name` has its text as typed.

    Args:
        model: what the body is to become.
        body: as YAML read it.
        text: the document itself; read already, so well-formed and of bounded size.
    """
    from ruamel.yaml import YAML

    root = YAML(typ="safe", pure=True).compose(text)
    try:
        return body if root is None else _model(model, body, _texts(root))
    except RecursionError:  # an alias within its own anchor, which no field takes
        return body


def _looks(name: str) -> str:
    """What a reader takes it for: 2.0 is how a table of numbers writes 2, while 02 is a code."""
    return _WHOLE.sub(r"\1", unicodedata.normalize("NFC", name).strip())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none: the data have no such names"


def _texts(node: Any) -> Any:
    """A composed node as mappings, lists and the text of every scalar."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, SequenceNode):
        return [_texts(item) for item in node.value]
    if not isinstance(node, MappingNode):
        return characters(node.value)
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            merged = [value] if isinstance(value, MappingNode) else value.value
            for one in merged:
                found = {**_texts(one), **found}
        else:
            found[characters(str(key.value))] = _texts(value)
    return found


def _model(model: type[BaseModel], body: Any, text: Any) -> Any:
    if not isinstance(body, Mapping) or not isinstance(text, Mapping):
        return body
    fields: dict[str, Any] = {}
    for name, one in model.model_fields.items():
        declared: Any = one.annotation
        if one.metadata:
            declared = Annotated[(declared, *one.metadata)]
        fields |= {name: declared, one.alias or name: declared}
    return {
        key: _field(fields[key], value, text[key]) if key in fields and key in text else value
        for key, value in body.items()
    }


def _field(declared: Any, value: Any, text: Any) -> Any:
    """The value, as typed where a name is declared for it."""
    options = list(_options(declared))
    if isinstance(text, str):
        given = value is not None or text != ""
        return text if given and any(option is _AS_TYPED for option in options) else value
    for option in options:
        origin, inner = get_origin(option), get_args(option)
        if isinstance(text, list) and isinstance(value, list) and origin in (tuple, list):
            return [_field(inner[0], *pair) for pair in zip(value, text, strict=True)]
        if isinstance(text, dict) and isinstance(value, Mapping):
            if origin is dict:
                return _mapping(inner, value, text)
            if isinstance(option, type) and issubclass(option, BaseModel):
                return _model(option, value, text)
    return value


def _mapping(declared: tuple[Any, ...], value: Mapping[Any, Any], text: Mapping[str, Any]) -> Any:
    key, inner = declared
    if len(value) != len(text):  # two keys that are one value: YAML has refused them already
        return value
    named = any(option is _AS_TYPED for option in _options(key))
    return {
        typed if named else given: _field(inner, one, text[typed])
        for (given, one), typed in zip(value.items(), text, strict=True)
    }


def _options(declared: Any) -> Iterator[Any]:
    """What a type may be, and the marks of names on it."""
    origin = get_origin(declared)
    if origin is Annotated:
        inner, *marks = get_args(declared)
        yield from (mark for mark in marks if mark is _AS_TYPED)
        yield from _options(inner)
    elif origin in (Union, UnionType):
        for one in get_args(declared):
            yield from _options(one)
    else:
        yield declared
