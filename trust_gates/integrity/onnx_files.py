"""Does an ONNX file reach outside of itself: operators of a library, or tensors in other files?

Read with protobuf's own parser of unknown fields, so that the package onnx is not needed. Field
numbers are those of onnx.proto3 of ONNX 1.19.
"""

from __future__ import annotations

from collections.abc import Iterator

_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Operator sets that every runtime has. Training's and a vendor's need libraries of theirs."""

_GRAPH, _OPSET, _FUNCTIONS = 7, 8, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NODE = 7
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


def reason(model: bytes) -> str:
    """Why the file with these bytes is not complete in itself; empty when it is.

    Raises:
        ValueError: it is no ONNX file.
    """
    graphs = list(_parts(model, _GRAPH))
    if not graphs:
        raise ValueError("got a file without a graph, expected an ONNX model")
    domains = {_text(part, 1) for part in _parts(model, _OPSET)}
    functions = list(_parts(model, _FUNCTIONS))
    external = False
    waiting = [(graph, _GRAPH_NODE) for graph in graphs]
    waiting += [(function, _FUNCTION_NODE) for function in functions]
    while waiting:
        graph, field = waiting.pop()
        if field == _GRAPH_NODE:
            external |= any(_outside(tensor) for tensor in _parts(graph, _GRAPH_TENSOR))
            sparse = _parts(graph, _GRAPH_SPARSE)
            external |= any(_outside(t) for s in sparse for n in (1, 2) for t in _parts(s, n))
        for node in _parts(graph, field):
            domains.add(_text(node, _NODE_DOMAIN))
            for attribute in _parts(node, _NODE_ATTRIBUTE):
                for number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    external |= any(_outside(tensor) for tensor in _parts(attribute, number))
                for number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    waiting += [(part, _GRAPH_NODE) for part in _parts(attribute, number)]
    own = {_text(function, 10) for function in functions}
    foreign = sorted(domains - _STANDARD - own)
    if foreign:
        return f"it uses operators of {', '.join(foreign)}, which a library must bring"
    return "it keeps tensors in other files" if external else ""


def _outside(tensor: bytes) -> bool:
    return any(True for _ in _fields(tensor, _TENSOR_EXTERNAL)) or any(
        value == 1 for value in _fields(tensor, _TENSOR_LOCATION)
    )


def _text(message: bytes, number: int) -> str:
    return next((part.decode("utf-8") for part in _parts(message, number)), "")


def _parts(message: bytes, number: int) -> Iterator[bytes]:
    return (value for value in _fields(message, number) if isinstance(value, bytes))


def _fields(message: bytes, number: int) -> Iterator[object]:
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    try:
        parsed = Empty.FromString(message)
    except DecodeError as error:
        raise ValueError(f"got {error}, expected an ONNX model") from None
    return (f.data for f in UnknownFieldSet(parsed) if f.field_number == number)
