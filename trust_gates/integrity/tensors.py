"""Which tensors does a safetensors file hold, and which of them have values that are no number?

Read here and not by the library, which lets duplicate names through and has no arrays for every
type: a file is accepted only where two readers could not disagree about a single byte of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.integrity.tree import Bytes

_LARGEST_HEADER = 100_000_000
"""As in the library."""

_AT_ONCE = 16 << 20


Bad = Callable[[NDArray[Any]], NDArray[np.bool_]]
"""Of raw bytes: which values of them are no finite number."""


def _ieee(letters: str) -> Bad:
    return lambda raw: ~np.isfinite(raw.view(letters))


def _bits(letters: str, mask: int) -> Bad:
    """All bits of the exponent set: infinite or no number."""
    return lambda raw: (raw.view(letters) & mask) == mask


def _no_bool(raw: NDArray[Any]) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = raw > 1
    return bad


def _codes(*codes: int) -> Bad:
    return lambda raw: np.isin(raw, codes)


_TYPES: dict[str, tuple[int, Bad | None]] = {
    "BOOL": (8, _no_bool),
    **{f"{sign}{bits}": (bits, None) for sign in "IU" for bits in (8, 16, 32, 64)},
    "F64": (64, _ieee("<f8")),
    "F32": (32, _ieee("<f4")),
    "F16": (16, _ieee("<f2")),
    "BF16": (16, _bits("<u2", 0x7F80)),
    "C64": (64, _ieee("<f4")),
    "F8_E5M2": (8, _bits("u1", 0x7C)),
    "F8_E4M3": (8, _bits("u1", 0x7F)),
    "F8_E5M2FNUZ": (8, _codes(0x80)),
    "F8_E4M3FNUZ": (8, _codes(0x80)),
    "F8_E8M0": (8, _codes(0xFF)),
    "F6_E2M3": (6, None),
    "F6_E3M2": (6, None),
    "F4": (4, None),
}
"""Bits of a value, and what finds one that is no finite number, where there can be one. The small
types are those of the OCP Microscaling and FP8 specifications: E4M3 has no infinity, FNUZ one NaN,
and four and six bits have neither."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file."""

    name: str
    type: str
    size: int
    """How many values."""

    start: int
    end: int
    """Its bytes in the file."""


def header(data: Bytes) -> list[Tensor]:
    """The tensors, in the order of their bytes.

    Raises:
        ValueError: it is no safetensors file, or one that readers may take for different things:
            a name twice, tensors that overlap or leave bytes to nobody, bytes behind the last.
    """
    if len(data) < 8:
        raise ValueError(f"got {len(data)} bytes, expected a header")
    length = int.from_bytes(data[:8], "little")
    if length > _LARGEST_HEADER or 8 + length > len(data):
        raise ValueError(f"got a header of {length} bytes in a file of {len(data)}")
    if data[8:9] != b"{":
        raise ValueError("the header does not begin with {")
    try:
        document = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("the header is nested too deep") from None
    _metadata(document.pop("__metadata__", {}))
    base = 8 + length
    found = sorted(
        (_tensor(name, entry, base) for name, entry in document.items()),
        key=lambda one: (one.start, one.end),
    )
    at = base
    for tensor in found:
        if tensor.start != at:
            raise ValueError(f"{tensor.name} begins at byte {tensor.start}, expected {at}")
        at = tensor.end
    if at != len(data):
        raise ValueError(f"its tensors end at byte {at}, the file at {len(data)}")
    return found


def broken(data: Bytes, tensors: list[Tensor]) -> Iterator[str]:
    """Names of tensors with values that are not finite, or are no value of their type."""
    for tensor in tensors:
        bits, bad = _TYPES[tensor.type]
        if bad is None:
            continue
        step = _AT_ONCE - _AT_ONCE % bits
        for start in range(tensor.start, tensor.end, step):
            raw = np.frombuffer(data[start : min(start + step, tensor.end)], dtype=np.uint8)
            if bad(raw).any():
                yield tensor.name
                break


def _tensor(name: str, entry: object, base: int) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} is described by {entry!r:.80}")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{name} is of the type {kind!r:.80}, expected one of {', '.join(_TYPES)}")
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2):
        raise ValueError(f"{name} has the shape {shape!r:.80} at {offsets!r:.80}")
    size = math.prod(shape)
    bits = size * _TYPES[kind][0]
    if bits % 8 or offsets[0] + bits // 8 != offsets[1]:
        raise ValueError(f"{name} has {bits} bits at the bytes {offsets[0]} to {offsets[1]}")
    return Tensor(name, kind, size, base + offsets[0], base + offsets[1])


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _metadata(found: object) -> None:
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError("its __metadata__ is not text by name")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it names {name!r:.80} twice")
        found[name] = value
    return found
