"""Many figures of one set of units, each with its bootstrap interval, in bounded memory.

Units that say the same may count together: `units` is then (kinds,), how many there are of each
kind; a number is of so many units, each of its own kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Ints
from trust_gates.statistics import RESAMPLES, Measure, exact, resampled

Array = NDArray[np.float64]
Figures = Callable[[Array], Mapping[str, Array]]
"""Weights of the kinds (R, kinds), how often each counts, to figures (R,) by name."""

_CELLS = 1_000_000
"""Weights held at once."""

_FEW = 8
"""Drawing how often a kind comes takes about as long as drawing so many units."""


def values(figures: Figures, units: int | Ints, seed: int) -> dict[str, Measure]:
    """Every figure on all units as if it were certain, for who needs no interval; quick."""
    sizes = _sizes(units)
    found = figures(sizes[None].astype(float))
    return {name: exact(float(value[0]), int(sizes.sum())) for name, value in found.items()}


def measure(figures: Figures, units: int | Ints, seed: int) -> dict[str, Measure]:
    """Every figure on all units, with the percentile interval of resampled units.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    from threadpoolctl import threadpool_limits

    sizes = _sizes(units)
    values, total = figures(sizes[None].astype(float)), int(sizes.sum())
    generator = np.random.default_rng(seed)
    rows = max(_CELLS // total, 1)
    draws: dict[str, list[Array]] = {name: [] for name in values}
    # Products of so few columns are done before a second thread has begun; it would only spin.
    with threadpool_limits(limits=1, user_api="blas"):
        for start in range(0, RESAMPLES, rows):
            size = min(rows, RESAMPLES - start)
            for name, drawn in figures(_weights(generator, sizes, size)).items():
                draws[name].append(drawn)
    return {
        name: resampled(float(value[0]), total, np.concatenate(draws[name]))
        for name, value in values.items()
    }


def _sizes(units: int | Ints) -> Ints:
    return np.ones(units, dtype=np.int64) if isinstance(units, int) else units


def _weights(generator: np.random.Generator, sizes: Ints, resamples: int) -> Array:
    """(resamples, kinds): how many of each kind are among as many units, drawn with replacement."""
    kinds, units = len(sizes), int(sizes.sum())
    if kinds * _FEW <= units:
        return generator.multinomial(units, sizes / units, size=resamples).astype(float)
    kind = np.repeat(np.arange(kinds), sizes)[generator.integers(units, size=(resamples, units))]
    kind += np.arange(resamples)[:, None] * kinds
    drawn = np.bincount(kind.ravel(), minlength=resamples * kinds)
    return drawn.reshape(resamples, kinds).astype(float)
