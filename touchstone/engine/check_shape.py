"""Does a document have only known fields, each of the right type, and none that is refused?"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from touchstone.engine import durations
from touchstone.engine.shapes import Choice, Inert, Leaf, ListOf, MapOf, Refused, Shape, Table
from touchstone.yaml import Document, FieldPath

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "duration": (str,),
    "value": (str, int, float, bool, list, dict),
}


def check_shape(document: Document, value: Any, shape: Shape, path: FieldPath) -> None:
    """Walk `value` along `shape`. Raises ManifestError at the first field that does not fit."""
    match shape:
        case Inert():
            return
        case Refused(why=why):
            raise document.error(f"cannot be honored here: {why}", path)
        case Leaf(kind=kind):
            _check_leaf(document, value, kind, path)
        case Choice(options=options):
            if value not in options:
                raise document.error(f"got {value!r}, expected {' or '.join(options)}", path)
        case ListOf(of=of):
            if not isinstance(value, list):
                raise document.error(f"got {_named(value)}, expected a list", path)
            for index, item in enumerate(value):
                check_shape(document, item, of, (*path, index))
        case MapOf(of=of):
            for key, item in _mapping(document, value, path).items():
                check_shape(document, item, of, (*path, key))
        case Table():
            _check_table(document, _mapping(document, value, path), shape, path)


def _check_table(
    document: Document, value: Mapping[str, Any], table: Table, path: FieldPath
) -> None:
    for key, item in value.items():
        if key not in table.fields:
            close = get_close_matches(key, table.fields, n=1)
            raise document.error(
                f"unknown field of a {table.title}",
                (*path, key),
                hint=f"did you mean {close[0]}?"
                if close
                else f"expected one of {', '.join(sorted(table.fields))}",
            )
        check_shape(document, item, table.fields[key], (*path, key))
    for key in table.required:
        if key not in value:
            raise document.error(
                f"got a {table.title} without {key}, expected it to have one", path
            )


def _check_leaf(document: Document, value: Any, kind: str, path: FieldPath) -> None:
    if kind == "anything":
        return
    right = isinstance(value, _TYPES[kind]) and (kind != "integer" or not isinstance(value, bool))
    if not right:
        hint = "put it in quotes" if kind == "string" and value is not None else ""
        raise document.error(f"got {_named(value)}, expected a {kind}", path, hint=hint)
    if kind == "duration" and "$(" not in value:
        try:
            durations.seconds(value)
        except ValueError as error:
            raise document.error(str(error), path) from None


def _mapping(document: Document, value: Any, path: FieldPath) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise document.error(f"got {_named(value)}, expected a mapping", path)
    return value


def _named(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return repr(value)
