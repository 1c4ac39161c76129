"""How far does each value of an input vary in the data? Feature rows have a column a unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MIDDLE = (0.05, 0.95)
"""One outlier says nothing of how far apart the others lie."""

Floats = NDArray[np.floating]


def spread(inputs: Floats, low: float, high: float) -> NDArray[np.float64]:
    """Of each value of an input (...): never 0, and at most high - low.

    Of feature rows (N, F) the range of the middle of each column, of a column that is nearly always
    the same its whole range, and of one that never varies its own size. Images have one unit for
    all of their values, high - low.
    """
    whole = float(high) - float(low)
    if inputs.ndim != 2 or not len(inputs):
        return np.full(inputs.shape[1:], whole)
    rows = inputs.astype(np.float64)
    least, most = np.quantile(rows, _MIDDLE, axis=0)
    apart = np.where(most > least, most - least, np.ptp(rows, axis=0))
    found: NDArray[np.float64] = np.minimum(np.where(apart > 0, apart, size(rows)), whole or 1.0)
    return found


def size(rows: Floats) -> NDArray[np.float64]:
    """(F,): the largest magnitude in each column, at least 1: the range of one that tells none."""
    found: NDArray[np.float64] = np.abs(rows).max(axis=0).clip(min=1.0).astype(np.float64)
    return found
