"""Has a field its shape? As strictly as Go decodes it, and as a CRD's schema has it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from touchstone.documents import core_types
from touchstone.documents.problems import By, Field
from touchstone.documents.shapes import (
    TEXT,
    TEXTS,
    VALUE,
    Choice,
    Core,
    Inert,
    Leaf,
    ListOf,
    MapOf,
    Open,
    Refused,
    Shape,
    Table,
)


def check_shape(field: Field, shape: Shape) -> None:
    """Only known fields, each of the right type, and none that is refused."""
    match shape:
        case Open(of=of) | Inert(of=of):
            check_shape(field, of)
        case Refused(why=why, of=of):
            check_shape(field, of)
            field.refuse(f"cannot be honored here: {why}", by="embedded")
        case Core(name=name):
            check_shape(field, core_types.table(name))
        case Leaf():
            _check_leaf(field, shape)
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
        shape = table.fields[key]
        if key not in field.value or (shape == TEXT and field.value[key] == ""):
            # A text that is not there is an empty one to Go; an object is nothing without these.
            whole = shape == VALUE or (isinstance(shape, Choice | ListOf) and shape != TEXTS)
            by: By = "tekton" if whole or table.strict else "embedded"
            field.refuse(f"got a {table.title} without {key}, expected it to have one", by=by)


def _check_leaf(field: Field, leaf: Leaf) -> None:
    value = field.value
    # To Python a boolean is a number.
    is_number = isinstance(value, bool) and bool not in leaf.types and object not in leaf.types
    if is_number or not isinstance(value, leaf.types):
        hint = "put it in quotes" if leaf.types == (str,) and value is not None else ""
        article = "an" if leaf.kind[0] in "aeiou" else "a"
        field.refuse(f"got {_named(value)}, expected {article} {leaf.kind}", hint=hint)
    elif problem := leaf.problem(value):
        field.refuse(problem)


def _named(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return repr(value)
