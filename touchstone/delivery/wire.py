"""What does a request say? Bodies of V1 and V2 (the Open Inference Protocol), read strictly.

JSON is RFC 8259's: UTF-8, no NaN, no name twice. Nothing is converted: a number is a number, a word
is a word, and whatever can be meant in two ways is refused, as a ValueError that says what was got
and what was expected. V2 bodies may be binary, as the protocol's binary tensor data extension says.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

WORDS = "BYTES"
NUMBERS: Mapping[str, Any] = {
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
"""V2 datatypes of numbers, with what they are in a binary body."""

JSON_LENGTH = "inference-header-content-length"
"""Header of a binary V2 request: the bytes of its JSON, which tensors follow."""

_AXES = 16
"""Of a tensor, at most."""

_DIGITS = 20
"""Of a length."""

_SHOWN = 60
_SIZES = 4
"""Bytes of the length before each word of a binary tensor."""

_V1 = 'expected {"instances": [...]}'
_V2 = 'expected {"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """A V1 request."""

    values: list[Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    """What else its body holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input of a V2 request."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any]
    """In row-major order, as many as the shape says: numbers, words, None where JSON has null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """A V2 request."""

    inputs: Mapping[str, Tensor]
    id: str = ""
    outputs: Mapping[str, bool | None] = field(default_factory=dict)
    """Names of those that are asked for, all where empty, and whether each shall be binary."""

    binary: bool = False
    """Whether the outputs that say nothing of it shall be."""


def instances(document: Any) -> Instances:
    """The body of a V1 request.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(document, dict):
        raise ValueError(f"got {brief(document)}, {_V1}")
    given = document.get("instances")
    if not isinstance(given, list):
        said = brief(given) + " as instances" if "instances" in document else "no instances"
        raise ValueError(f"got {said}, {_V1}")
    return Instances(
        values=given, beside={name: one for name, one in document.items() if name != "instances"}
    )


def tensors(body: bytes, json_length: str | None = None) -> Tensors:
    """The body of a V2 request; `json_length` is its header `JSON_LENGTH`, where it has one.

    Raises:
        ValueError: it is none, or what it says of its tensors is not what they are.
    """
    length = len(body)
    if json_length is not None:
        known = json_length.isascii() and json_length.isdigit() and len(json_length) < _DIGITS
        if not known or int(json_length) > length:
            raise ValueError(
                f"got {JSON_LENGTH} {brief(json_length)} for a body of {length} bytes, expected "
                "how many of them are JSON"
            )
        length = int(json_length)
    document = parsed(body[:length], _V2)
    if not isinstance(document, dict):
        raise ValueError(f"got {brief(document)}, {_V2}")
    described = document.get("inputs")
    if not isinstance(described, list) or not described:
        said = brief(described) + " as inputs" if "inputs" in document else "no inputs"
        raise ValueError(f"got {said}, {_V2}")
    rest = memoryview(body)[length:]
    found: dict[str, Tensor] = {}
    for one in described:
        tensor, rest = _tensor(one, rest)
        if tensor.name in found:
            raise ValueError(f"got two tensors named {brief(tensor.name)}, expected one")
        found[tensor.name] = tensor
    if len(rest):
        raise ValueError(f"got {len(rest)} bytes after the last tensor, expected none")
    parameters = _parameters("the request", document)
    return Tensors(
        inputs=found,
        id=_identity(document.get("id")),
        outputs=_outputs(document.get("outputs")),
        binary=_flag("binary_data_output", parameters) or False,
    )


def parsed(body: bytes, expected: str = _V1) -> Any:
    """The JSON of a body.

    Raises:
        ValueError: it is none.
    """
    import orjson

    try:
        orjson.loads(body)  # what it lets pass is UTF-8, without NaN or halves of a character
        return json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"got JSON that is nested too deep, {expected}") from None
    except _TwiceError as error:
        raise ValueError(f"got {error} twice in one object, expected it once") from None
    except ValueError as error:
        raise ValueError(f"got a body that is no JSON ({error}), {expected}") from None


def flattened(values: Any, shape: Sequence[int]) -> list[Any]:
    """What lists of lists of this shape hold, in row-major order.

    Raises:
        ValueError: one of them is no list, or of another length.
    """
    level: list[Any] = [values]
    for depth, size in enumerate(shape):
        for number, one in enumerate(level):
            if type(one) is not list or len(one) != size:
                place = place_of(number, shape[:depth])
                raise ValueError(f"got {brief(one)}{place}, expected a list of {size}")
        level = list(chain.from_iterable(level))
    return level


def place_of(number: int, shape: Sequence[int]) -> str:
    """Where the value of this number is in an array of the shape, in words: ` at [3][0]`."""
    if not shape:
        return ""
    indices = np.unravel_index(number, tuple(shape))
    return " at " + "".join(f"[{index}]" for index in indices)


def brief(value: Any) -> str:
    """A value of JSON in a few words, for an error."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


class _TwiceError(Exception):
    """A name is in an object two times."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        last = {name: number for number, (name, _) in enumerate(pairs)}
        first = next(name for number, (name, _) in enumerate(pairs) if last[name] != number)
        raise _TwiceError(brief(first))
    return found


def _tensor(described: Any, rest: memoryview) -> tuple[Tensor, memoryview]:
    """A tensor, and the binary data after its own."""
    if not isinstance(described, dict):
        raise ValueError(f"got {brief(described)} among inputs, {_V2}")
    name, shape, kind = (described.get(key) for key in ("name", "shape", "datatype"))
    if not isinstance(name, str):
        raise ValueError(f"got {brief(name)} as the name of a tensor, expected a word")
    what = f"tensor {brief(name)}"
    if (
        not isinstance(shape, list)
        or len(shape) > _AXES
        or not all(type(one) is int and one >= 0 for one in shape)
    ):
        raise ValueError(
            f"{what}: got shape {_sizes(shape)}, expected a list of up to {_AXES} whole numbers"
        )
    known = (*NUMBERS, WORDS)
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"{what}: got datatype {brief(kind)}, expected one of {', '.join(known)}")
    count = math.prod(shape)
    size = _parameters(what, described).get("binary_data_size")
    if (size is None) == ("data" not in described):
        raise ValueError(f"{what}: expected either data or the parameter binary_data_size")
    if size is None:
        values = _listed(what, described["data"], shape, count)
    else:
        if type(size) is not int or not 0 <= size <= len(rest):
            raise ValueError(
                f"{what}: got binary_data_size {brief(size)} with {len(rest)} bytes after the "
                f"JSON, whose length the header {JSON_LENGTH} tells; expected up to as many"
            )
        values = _unpacked(what, bytes(rest[:size]), kind, count)
        rest = rest[size:]
    return Tensor(name=name, datatype=kind, shape=tuple(shape), values=values), rest


def _listed(what: str, data: Any, shape: list[int], count: int) -> list[Any]:
    """The values of `data`, which may be nested as the shape is."""
    if not isinstance(data, list):
        raise ValueError(f"{what}: got {brief(data)} as data, expected a list")
    if len(shape) > 1 and data and isinstance(data[0], list):
        try:
            return flattened(data, shape)
        except ValueError as error:
            raise ValueError(f"{what}: {error}, as its shape says") from None
    if len(data) != count:
        raise ValueError(
            f"{what}: got {len(data)} values, expected as many as shape {_sizes(shape)} says"
        )
    return data


def _unpacked(what: str, data: bytes, kind: str, count: int) -> list[Any]:
    """The values of a binary tensor."""
    if kind != WORDS:
        if len(data) != count * NUMBERS[kind].itemsize:
            raise ValueError(
                f"{what}: got {len(data)} bytes, expected {NUMBERS[kind].itemsize} for each value "
                "that its shape says"
            )
        numbers: list[Any] = np.frombuffer(data, dtype=NUMBERS[kind]).tolist()
        return numbers
    words = []
    start = 0
    while start < len(data):
        end = start + _SIZES
        if end <= len(data):
            end += struct.unpack("<I", data[start:end])[0]
        if end > len(data):
            raise ValueError(f"{what}: its last word is longer than its data")
        words.append(data[start + _SIZES : end])
        start = end
    if len(words) != count:
        raise ValueError(f"{what}: got {len(words)} words, expected as many as its shape says")
    try:
        return [word.decode() for word in words]
    except UnicodeDecodeError as error:
        raise ValueError(f"{what}: got a word that is no UTF-8 ({error.reason})") from None


def _sizes(shape: Any) -> str:
    """A shape in few words."""
    if isinstance(shape, list) and len(shape) <= _AXES:
        return f"[{', '.join(brief(one) for one in shape)}]"
    return brief(shape)


def _identity(given: Any) -> str:
    if given is not None and not isinstance(given, str):
        raise ValueError(f"got id {brief(given)}, expected a word")
    return given or ""


def _outputs(given: Any) -> dict[str, bool | None]:
    """The outputs that are asked for, and whether each shall be binary."""
    if given is None:
        return {}
    found: dict[str, bool | None] = {}
    for one in given if isinstance(given, list) else [given]:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise ValueError(f'got {brief(one)} among outputs, expected [{{"name": ...}}]')
        if name in found:
            raise ValueError(f"got the output {brief(name)} twice, expected it once")
        found[name] = _flag("binary_data", _parameters(f"output {brief(name)}", one))
    return found


def _parameters(what: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    given = document.get("parameters")
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{what}: got {brief(given)} as parameters, expected an object")
    return given or {}


def _flag(name: str, parameters: Mapping[str, Any]) -> bool | None:
    given = parameters.get(name)
    if given is not None and not isinstance(given, bool):
        raise ValueError(f"got {brief(given)} as {name}, expected true or false")
    return given
