"""What does a model take? The inputs that its model.json declares, and whether values fit them.

Values are converted to the declared type alone: words for numbers, true for 1, 1.5 where a whole
number is declared, or a number out of the declared range are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.delivery.wire import NUMBERS, Tensor, brief, flattened, place_of
from trust_gates.inputs.description import DTYPES

NAME = "input"
"""Of the tensor that holds inputs as the network sees them."""

_WHOLE = DTYPES[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Inputs as a network sees them."""

    shape: tuple[int, ...]
    """Of one."""

    dtype: str
    low: float
    high: float
    features: tuple[str, ...] = ()
    """Names of the values of a row; empty where they have none."""

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Declared:
        """`inputs` of a model.json. Raises KeyError, TypeError or ValueError where it is none."""
        shape = tuple(int(size) for size in inputs["shape"])
        features = tuple(str(name) for name in inputs.get("features", ()))
        return cls(
            shape=shape,
            dtype=str(inputs.get("dtype", DTYPES[0])),
            low=float(inputs["low"]),
            high=float(inputs["high"]),
            features=features if shape == (len(features),) else (),
        )

    @property
    def datatype(self) -> str:
        """Of V2."""
        return "INT64" if self.dtype == _WHOLE else "FP32"

    def described(self) -> dict[str, Any]:
        """The tensor in V2 metadata."""
        parameters: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.features:
            parameters["features"] = list(self.features)
        return {
            "name": NAME,
            "datatype": self.datatype,
            "shape": [-1, *self.shape],
            "parameters": parameters,
        }

    def listed(self, values: list[Any]) -> np.ndarray:
        """Lists of lists, one of the declared shape an input, as an array (N, *shape).

        Raises:
            ValueError: they are of another shape, none at all, or hold what is not declared.
        """
        shape = _shape(values, len(self.shape) + 1)
        if not values or shape[1:] != self.shape:
            raise ValueError(f"got inputs of shape {shape}, expected {self._expected}")
        return self._array(flattened(values, shape), shape)

    def tensor(self, tensor: Tensor) -> np.ndarray:
        """A tensor of a V2 request as an array (N, *shape).

        Raises:
            ValueError: it is of another shape or datatype, or holds what is not declared.
        """
        if tensor.datatype not in NUMBERS or (self._whole and NUMBERS[tensor.datatype].kind == "f"):
            raise ValueError(f"got datatype {tensor.datatype}, expected {self.datatype}")
        if not tensor.values or tensor.shape[1:] != self.shape or not tensor.shape:
            raise ValueError(f"got inputs of shape {tensor.shape}, expected {self._expected}")
        return self._array(fitting(tensor), tensor.shape)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Rows with a number for each of the named features, as an array (N, F).

        Raises:
            ValueError: a row lacks one, has another, or a number that is not declared.
        """
        known = set(self.features)
        for number, row in enumerate(rows):
            if row.keys() != known:
                absent = [name for name in self.features if name not in row]
                other = [name for name in row if name not in known]
                raise ValueError(
                    f"row {number + 1}: got "
                    + (f"no {_few(absent)}" if absent else f"also {_few(other)}")
                    + f", expected a number for each of {_few(self.features)}"
                )
        flat = [row[name] for row in rows for name in self.features]
        return self._array(flat, (len(rows), *self.shape))

    def example(self) -> np.ndarray:
        """(1, *shape): an input in the middle of what is declared."""
        middle = self.low + (self.high - self.low) / 2
        return np.full((1, *self.shape), int(middle) if self._whole else middle, self.dtype)

    @property
    def _whole(self) -> bool:
        return self.dtype == _WHOLE

    @property
    def _expected(self) -> str:
        return f"(N, {', '.join(str(size) for size in self.shape)})"

    def _array(self, flat: list[Any], shape: tuple[int, ...]) -> np.ndarray:
        allowed = {int} if self._whole else {int, float}
        if not allowed.issuperset(map(type, flat)):
            number = next(i for i, one in enumerate(flat) if type(one) not in allowed)
            wrong = self._wrong(number, flat, shape)
            raise ValueError(f"inputs are not one array of numbers: {wrong}")
        try:
            array = np.array(flat, dtype=np.int64 if self._whole else np.float64)
        except OverflowError:  # a whole number that has no place in 64 bits
            number = next(i for i, one in enumerate(flat) if not self.low <= one <= self.high)
            raise ValueError(self._wrong(number, flat, shape)) from None
        # Compared in the declared type, by which a limit such as 0.1 is rounded too.
        with np.errstate(over="ignore"):
            typed = array.astype(self.dtype)
        low, high = (
            np.asarray(limit, typed.dtype if not self._whole else np.float64)
            for limit in (self.low, self.high)
        )
        inside = (typed >= low) & (typed <= high)  # NaN is not
        if not inside.all():
            number = int(np.flatnonzero(~inside)[0])
            raise ValueError(self._wrong(number, flat, shape))
        return typed.reshape(shape)

    def _wrong(self, number: int, flat: list[Any], shape: tuple[int, ...]) -> str:
        got = brief(flat[number])
        kind = "a whole number" if self._whole else "a number"
        expected = f"expected {kind} from {self.low:.9g} to {self.high:.9g}"
        if self.features:
            row, column = divmod(number, len(self.features))
            return f"row {row + 1}, feature {self.features[column]!r}: got {got}, {expected}"
        return f"got {got}{place_of(number, shape)}, {expected}"


def fitting(tensor: Tensor) -> list[Any]:
    """The values of a tensor of numbers. Raises ValueError where one is not of its datatype."""
    kind = NUMBERS[tensor.datatype]
    if kind.kind == "f":
        return tensor.values
    limits = np.iinfo(kind)
    for number, one in enumerate(tensor.values):
        if one is not None and not (type(one) is int and limits.min <= one <= limits.max):
            raise ValueError(
                f"tensor {brief(tensor.name)}: got {brief(one)}{place_of(number, tensor.shape)}, "
                f"expected {tensor.datatype}, as it says of itself"
            )
    return tensor.values


def _shape(values: Any, most: int) -> tuple[int, ...]:
    """Of lists of lists, by the first of each, down to `most` axes."""
    found: list[int] = []
    while isinstance(values, list):
        found.append(len(values))
        if not values or len(found) == most + 1:
            break
        values = values[0]
    return tuple(found)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(brief(name) for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
