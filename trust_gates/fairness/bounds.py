"""How sure is a figure that is made of rates? Its limits follow from those of the rates.

The rows that a rate rests on are independent of each other (or of other scenes') and, given their
number, nothing else is left to chance: its limits are those of a share (`trust_gates.proportions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness import figures
from trust_gates.fairness.counts import Counts, Seen
from trust_gates.proportions import Bounded, ratio, share, total
from trust_gates.verdict import Interval

Bounds = Callable[[float], Interval]


@dataclass(frozen=True, slots=True)
class Compared:
    """Every rate of an unprivileged and of a privileged set of groups."""

    low: Mapping[str, Seen]
    high: Mapping[str, Seen]

    @classmethod
    def of(cls, counts: Counts, low: Sequence[int], high: Sequence[int]) -> Compared:
        """The rates of the groups `low` against those of `high`."""
        return cls(*({n: counts.seen(r, side) for n, r in figures.RATES.items()}
                     for side in (low, high)))  # fmt: skip

    def rows(self, figure: str) -> int:
        """How many rows the figure rests on, on the side that has fewer."""
        rates = figures.compared(figure) or ("selection_rate",)
        return min(side[one].rows for one in rates for side in self._sides)

    def bounds(self, figure: str) -> Bounds | None:
        """The interval of a figure of `figures.pair` at any confidence; None for an entropy."""
        if not figures.compared(figure):
            return None
        return lambda confidence: _interval(self.limits(figure, confidence), confidence)

    def limits(self, figure: str, confidence: float) -> Bounded:
        """The limits of a figure of `figures.pair` that is made of rates."""
        rates = figures.compared(figure)
        if figure in figures.RATIOS:
            return ratio(*(_share(side[rates[0]], confidence) for side in self._sides))
        if figure in figures.MEAN_DISTANCES:
            return self._mean_distance(rates, confidence)
        if figure in figures.LARGEST:
            return self._largest(rates, confidence)
        return self._gaps(rates, confidence)

    @property
    def _sides(self) -> tuple[Mapping[str, Seen], Mapping[str, Seen]]:
        return self.low, self.high

    def _gaps(self, rates: Sequence[str], confidence: float) -> Bounded:
        """The mean of the rates' differences."""
        seen = [side[rate] for rate in rates for side in self._sides]
        each = [sign / len(rates) for _ in rates for sign in (1, -1)]
        return total([_share(one, confidence) for one in seen], each, wider=_wider(seen, each))

    def _mean_distance(self, rates: Sequence[str], confidence: float) -> Bounded:
        apart = [self._gaps([rate], confidence) for rate in rates]
        seen = [side[rate] for rate in rates for side in self._sides]
        wider = max(
            _wider(seen, [1, -1, sign, -sign])  # whichever signs the two differences have
            for sign in (1, -1)
        )
        return total([one.distance for one in apart], [0.5, 0.5], wider=wider)

    def _largest(self, rates: Sequence[str], confidence: float) -> Bounded:
        """At most the largest upper limit, for each of them holds by itself; at least the largest
        lower one, of which any may be wrong (Bonferroni)."""
        strict = 1 - (1 - confidence) / len(rates)
        above, below = (
            [self._gaps([rate], at).distance for rate in rates] for at in (confidence, strict)
        )
        return Bounded(
            np.maximum.reduce([one.value for one in above]),
            np.maximum.reduce([one.low for one in below]),
            np.maximum.reduce([one.high for one in above]),
        )


def weighted(seen: Sequence[Seen], weights: Sequence[float]) -> Bounds:
    """The interval of a weighted sum of rates of different rows at any confidence."""

    def bounds(confidence: float) -> Interval:
        parts = [_share(one, confidence) for one in seen]
        return _interval(total(parts, weights, wider=_wider(seen, weights)), confidence)

    return bounds


def _interval(found: Bounded, confidence: float) -> Interval:
    return Interval(low=float(found.low), high=float(found.high), confidence=confidence)


def _share(seen: Seen, confidence: float) -> Bounded:
    return _limits(seen.value, seen.trials, seen.units, confidence)


@lru_cache(maxsize=4096)
def _limits(value: float, trials: float, units: float, confidence: float) -> Bounded:
    """Kept, since many figures are made of the same rates; by numbers, which hold no rows."""
    return share(value, trials, confidence, units=units)


def _wider(seen: Sequence[Seen], weights: Sequence[float]) -> float:
    """How much wider errors are together than if units added to one rate alone, never less."""
    errors = [w * one.errors for one, w in zip(seen, weights, strict=True)
              if one.errors is not None]  # fmt: skip
    if not errors:
        return 1.0
    together: NDArray[np.float64] = np.sum(errors, axis=0)
    apart = sum(float(one @ one) for one in errors)
    return float(np.sqrt(max(1.0, float(together @ together) / apart))) if apart else 1.0
