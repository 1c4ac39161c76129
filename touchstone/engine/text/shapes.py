"""What shapes can a field have, and does it have its shape? The words of fields.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

from touchstone.documents.problems import Field
from touchstone.engine.language import durations


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: `kind` is string, integer, boolean, duration, value or anything."""

    kind: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A string out of a fixed set."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class Inert:
    """Confinement, scheduling and documentation of the cluster: no effect on a local process."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Known to Tekton, not honoured here; `why` ends the sentence 'cannot be honoured here: '."""

    why: str


@dataclass(frozen=True)
class Table:
    """An object: its fields by name, and which of them must be there."""

    title: str
    fields: dict[str, Shape]
    required: tuple[str, ...] = ()


Shape: TypeAlias = "Leaf | Choice | ListOf | MapOf | Inert | Refused | Table"

TEXT = Leaf("string")
NUMBER = Leaf("integer")
FLAG = Leaf("boolean")
DURATION = Leaf("duration")
VALUE = Leaf("value")
ANY = Leaf("anything")
TEXTS = ListOf(TEXT)
INERT = Inert()

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "duration": (str,),
    "value": (str, int, float, bool, list, dict),
    "anything": (object,),
}


def check_shape(field: Field, shape: Shape) -> None:
    """Only known fields, each of the right type, and none that is refused."""
    match shape:
        case Inert():
            return
        case Refused(why=why):
            field.refuse(f"cannot be honored here: {why}", by="embedded")
        case Leaf(kind=kind):
            _check_leaf(field, kind)
        case Choice(options=options):
            if field.value not in options:
                field.refuse(f"got {field.value!r}, expected {' or '.join(filter(None, options))}")
        case ListOf(of=of) if isinstance(field.value, list):
            for index in range(len(field.value)):
                check_shape(field.at(index), of)
        case MapOf(of=of) if isinstance(field.value, Mapping):
            for key in field.value:
                check_shape(field.at(key), of)
        case Table() if isinstance(field.value, Mapping):
            _check_table(field, shape)
        case _:
            wanted = "a list" if isinstance(shape, ListOf) else "a mapping"
            field.refuse(f"got {_named(field.value)}, expected {wanted}")


def _check_table(field: Field, table: Table) -> None:
    for key in field.value:
        if key in table.fields:
            check_shape(field.at(key), table.fields[key])
            continue
        close = get_close_matches(key, table.fields, n=1)
        field.refuse(
            f"unknown field of a {table.title}",
            key,
            hint=f"did you mean {close[0]}?"
            if close
            else f"expected one of {', '.join(sorted(table.fields))}",
        )
    if any(isinstance(table.fields.get(key), Refused) for key in field.value):
        return  # a custom task's spec, for instance, has no steps
    for key in table.required:
        if key not in field.value:
            field.refuse(f"got a {table.title} without {key}, expected it to have one")


def _check_leaf(field: Field, kind: str) -> None:
    value = field.value
    right = isinstance(value, _TYPES[kind]) and (kind != "integer" or not isinstance(value, bool))
    if not right:
        hint = "put it in quotes" if kind == "string" and value is not None else ""
        field.refuse(f"got {_named(value)}, expected a {kind}", hint=hint)
    elif kind == "duration" and value.startswith("-"):
        field.refuse(f"got {value!r}, expected 0 or more")
    elif kind == "duration" and "$(" in value:
        field.refuse(f"got {value!r}, expected a duration: no reference is replaced in one")
    elif kind == "duration":
        try:
            durations.seconds(value)
        except ValueError as error:
            field.refuse(str(error))


def _named(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return repr(value)
