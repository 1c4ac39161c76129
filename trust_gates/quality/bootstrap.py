"""Many figures of one set of units, each with its bootstrap interval, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from trust_gates.statistics import RESAMPLES, Measure, exact, resampled

Array = NDArray[np.float64]
Figures = Callable[[Array], Mapping[str, Array]]
"""Weights of the units (R, units), how often each counts, to figures (R,) by name."""

_CELLS = 4_000_000
"""Weights held at once."""


def values(figures: Figures, units: int, seed: int) -> dict[str, Measure]:
    """Every figure on all units as if it were certain, for who needs no interval; quick."""
    found = figures(np.ones((1, units)))
    return {name: exact(float(value[0]), units) for name, value in found.items()}


def measure(figures: Figures, units: int, seed: int) -> dict[str, Measure]:
    """Every figure on all units, with the percentile interval of resampled units.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    values = figures(np.ones((1, units)))
    generator = np.random.default_rng(seed)
    rows = max(_CELLS // units, 1)
    draws: dict[str, list[Array]] = {name: [] for name in values}
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        weights = generator.multinomial(units, np.full(units, 1 / units), size=size)
        for name, drawn in figures(weights.astype(float)).items():
            draws[name].append(drawn)
    return {
        name: resampled(float(value[0]), units, np.concatenate(draws[name]))
        for name, value in values.items()
    }
