"""What an attacker may change of an input: limits of each value, and values out of reach."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.spread import size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """Every field is shaped as one input (...), or broadcasts to it."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    immutable: NDArray[np.bool_]
    """True where an attacker has no say: a patient's age, one value of a category."""

    observed: bool = False
    """Whether the limits are only what the data show: no value is out of everyone's reach then."""

    beside: bool = False
    """Whether what is immutable is no part of an input, and only travels with it."""

    @property
    def whole(self) -> bool:
        """Whether nothing of an input is out of reach by what anyone declared."""
        return self.observed or self.beside

    @classmethod
    def of_features(
        cls,
        features: Sequence[str],
        *,
        low: float,
        high: float,
        immutable: Collection[str] = (),
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> Reach:
        """The reach within feature rows (F,): `bounds` by name narrow [low, high].

        Raises:
            ValueError: a name is no feature's, bounds are in the wrong order or out of range, or
                nothing is left to change.
        """
        bounds = bounds or {}
        unknown = sorted({*immutable, *bounds} - set(features))
        if unknown:
            raise ValueError(
                f"got the features {unknown}, expected some of {list(features)}; the dataset's "
                "`features` names them"
            )
        for name, (least, most) in bounds.items():
            if not least <= most:
                raise ValueError(f"got bounds [{least}, {most}] of {name}, expected low <= high")
            if most < low or least > high:
                raise ValueError(
                    f"got bounds [{least}, {most}] of {name}, expected some that reach into the "
                    f"range of the inputs, [{low:g}, {high:g}]"
                )
        limits = np.array([bounds.get(name, (low, high)) for name in features], dtype=np.float32)
        fixed = np.array([name in immutable for name in features])
        reach = cls(
            low=limits[:, 0].clip(low, high), high=limits[:, 1].clip(low, high), immutable=fixed
        )
        reach._check()
        return reach

    @classmethod
    def of_rows(cls, inputs: NDArray[np.float32]) -> Reach:
        """The values that each column of feature rows (N, F) takes, where nobody declared more.

        A column that never varies tells no range: it has its own size to either side.
        """
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        around = np.where(high > low, 0, size(inputs)).astype(np.float32)
        fixed = np.zeros(inputs.shape[1], dtype=bool)
        return cls(low=low - around, high=high + around, immutable=fixed, observed=True)

    @classmethod
    def described(cls, inputs: Mapping[str, Any]) -> Reach | None:
        """What a dataset's description of its `inputs` leaves to an attacker; None for all.

        Its `immutable` and `categorical` name features out of reach, its `bounds` narrow others.

        Raises:
            ValueError: it names a feature that there is not.
        """
        immutable = [*inputs.get("immutable", ()), *inputs.get("categorical", ())]
        bounds = inputs.get("bounds", {})
        if not immutable and not bounds:
            return None
        return cls.of_features(
            inputs.get("features", ()),
            low=float(inputs["low"]),
            high=float(inputs["high"]),
            immutable=immutable,
            bounds=bounds,
        )

    def within(self, other: Reach | None) -> Reach:
        """What both leave to an attacker.

        Raises:
            ValueError: nothing is left to change.
        """
        if other is None:
            return self
        low, high = np.maximum(self.low, other.low), np.minimum(self.high, other.high)
        reach = Reach(
            low=np.minimum(low, high),
            high=high,
            immutable=self.immutable | other.immutable,
            observed=self.observed and other.observed,
        )
        reach._check()
        return reach

    def _check(self) -> None:
        if not ((self.high > self.low) & ~self.immutable).any():
            raise ValueError(
                "got only immutable features, or bounds without room between them; expected a "
                "feature that an attacker can change"
            )

    def around(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The lowest and highest values (N, ...) that each of `inputs` (N, ...) can be given.

        An input that already lies outside the limits can at least stay as it is.
        """
        lower, upper = np.minimum(self.low, inputs), np.maximum(self.high, inputs)
        return np.where(self.immutable, inputs, lower), np.where(self.immutable, inputs, upper)
