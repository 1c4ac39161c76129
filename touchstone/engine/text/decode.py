"""How does Tekton read an object? As Go's JSON decoder does, with a type of its own for values.

Facts from encoding/json, which takes a field's name in whatever case, and from
`ParamValue.UnmarshalJSON` in pkg/apis/pipeline/v1/param_types.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.engine.language.values import as_value
from touchstone.engine.text.fields import KINDS
from touchstone.engine.text.shapes import VALUE, ListOf, MapOf, Shape, Table


def decoded(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its fields named as Tekton names them, and its values as strings.

    What fits no field or has another shape stays as it is, for validation to name.
    """
    shape = KINDS.get(str(body.get("kind", "")))
    return dict(body if shape is None else _decoded(body, shape))


def _decoded(value: Any, shape: Shape) -> Any:
    match shape:
        case Table() if isinstance(value, Mapping):
            names = {name.lower(): name for name in shape.fields}
            named = {
                key if key in shape.fields else names.get(key.lower(), key): item
                for key, item in value.items()
            }
            return {
                key: _decoded(item, shape.fields[key]) if key in shape.fields else item
                for key, item in named.items()
            }
        case MapOf(of=of) if isinstance(value, Mapping):
            return {key: _decoded(item, of) for key, item in value.items()}
        case ListOf(of=of) if isinstance(value, list):
            return [_decoded(item, of) for item in value]
        case _ if shape == VALUE and value is not None:
            return as_value(value)
    return value
