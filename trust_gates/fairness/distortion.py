"""How far does a repair move the inputs? AIF360's sample distortion metrics, vectorised.

AIF360 0.6.1 computes one distance at a time, and its six differences and ratios fail
(`'numpy.float64' object is not callable`); a contract test fails when they are mended.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Floats
from trust_gates.statistics import Measure, bootstrapped, exact

Array = NDArray[np.float64]


def distances(before: Floats, after: Floats) -> dict[str, Array]:
    """Euclidean, Manhattan and Mahalanobis distance, (n,), of each row (n, F) to its repair.

    Mahalanobis takes the covariance of all rows, before and after, as AIF360 does; its
    pseudo-inverse where a feature does not vary, where AIF360 fails.

    Raises:
        ValueError: the two are of different shapes, or not (n, F).
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"got rows {before.shape} and {after.shape}, expected both (n, F)")
    first, second = before.astype(np.float64), after.astype(np.float64)
    move = first - second
    covariance = np.atleast_2d(np.cov(np.vstack([first, second]).T))
    inverse = np.linalg.pinv(covariance, hermitian=True)
    squares = np.einsum("nf,fg,ng->n", move, inverse, move)
    return {
        "euclidean": np.sqrt((move**2).sum(axis=1)),
        "manhattan": np.abs(move).sum(axis=1),
        "mahalanobis": np.sqrt(squares.clip(min=0)),
    }


def measures(before: Floats, after: Floats, privileged: Bools, *, seed: int) -> dict[str, Measure]:
    """Every figure of `fairness.metrics.DISTORTION`; totals and maxima are of these very rows."""
    found: dict[str, Measure] = {}
    for kind, distance in distances(before, after).items():
        sides = distance[~privileged], distance[privileged]
        found |= {
            f"total_{kind}_distance": exact(float(distance.sum()), len(distance)),
            f"maximum_{kind}_distance": exact(float(distance.max(initial=0)), len(distance)),
            f"average_{kind}_distance": bootstrapped(lambda one: one, distance, seed=seed),
            f"mean_{kind}_distance_difference": bootstrapped(
                lambda low, high: low - high, *sides, seed=seed
            ),
            f"mean_{kind}_distance_ratio": bootstrapped(_ratio, *sides, seed=seed),
        }
    return found


def _ratio(low: Array, high: Array) -> Array:
    return np.divide(low, high, out=np.full_like(low, np.nan), where=high > 0)
