"""How does Tekton read an object? As Go's JSON decoder does, with a type of its own for values.

A field that is null is one that is not there, and a text that a rule reads and that is not there is
empty. Names are told apart by letter case: Go's decoder does not, but an API server refuses or
prunes what the CRD's schema does not have before Go sees it. Only where no schema looks, below a
taskSpec or pipelineSpec say, a name may be written in any case.
Facts from encoding/json and from `ParamValue.UnmarshalJSON` in pkg/apis/pipeline/v1/param_types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.documents import core_types
from touchstone.documents.shapes import (
    ANY,
    TEXT,
    VALUE,
    Choice,
    Core,
    Inert,
    ListOf,
    MapOf,
    Open,
    Refused,
    Shape,
    Table,
)
from touchstone.engine.language.values import as_value
from touchstone.engine.text.fields import KINDS


def decoded(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object without its nulls, and with the values of params as strings.

    What fits no field or has another shape stays as it is, for validation to name.
    """
    shape = KINDS.get(str(body.get("kind", "")))
    return dict(body if shape is None else _decoded(body, shape))


def _decoded(value: Any, shape: Shape, *, fold: bool = False) -> Any:
    match shape:
        case Open(of=of):
            return _decoded(value, of, fold=True)
        case Inert(of=of) | Refused(of=of):
            return _decoded(value, of, fold=fold)
        case Core(name=name):
            return _decoded(value, core_types.table(name), fold=fold)
        case Table() if value is None or isinstance(value, Mapping):
            return _fields(value or {}, shape, fold=fold)
        case MapOf(of=of) if isinstance(value, Mapping):
            return {
                key: _decoded(item, of, fold=fold)
                for key, item in value.items()
                if item is not None
            }
        case ListOf(of=of) if isinstance(value, list):
            return [_decoded(item, of, fold=fold) for item in value]
        case _ if shape == VALUE:
            return as_value(value)
        case _ if shape == TEXT and value is None:
            return ""
    return value


def _fields(value: Mapping[str, Any], table: Table, *, fold: bool) -> dict[str, Any]:
    folded = {name.lower(): name for name in table.fields} if fold else {}
    named = {
        name if name in table.fields else folded.get(name.lower(), name): item
        for name, item in value.items()
    }
    empty = {
        name: "" if table.fields[name] == TEXT else {}
        for name in table.required
        if table.fields[name] == TEXT or isinstance(table.fields[name], Table)
    }
    return empty | {
        name: _decoded(item, table.fields.get(name, ANY), fold=fold)
        for name, item in named.items()
        if name not in table.fields or not _is_absent(name, item, table.fields[name], fold=fold)
    }


def _is_absent(name: str, item: Any, shape: Shape, *, fold: bool) -> bool:
    if item is None:  # an API server prunes a value that is null where it looks, Go reads it as ""
        return not (fold and shape == VALUE and name == "value")
    return item == "" and isinstance(shape, Choice)
