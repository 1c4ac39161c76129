"""Are numbers predicted evenly between groups?

`infeasible_index` is AIF360's own of regressions, of the ranking that the numbers make, and the
two of the mean absolute error are what its `difference` and `ratio` make of scikit-learn's figure;
of the others AIF360 has none. Statistical parity of the prediction and bounded group loss are
after Agarwal, Dudík and Wu, "Fair Regression: Quantitative Definitions and Reduction-Based
Algorithms", ICML 2019, whose parity is the largest gap between distributions; the mean differences
are Calders et al., "Controlling Attribute Effect in Linear Regression", ICDM 2013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Floats
from trust_gates.statistics import RESAMPLES, Measure, exact, missing, resampled

Array = NDArray[np.float64]

_MANY = 1000

_MEANS = {
    "mean_prediction_difference": 0,
    "mean_residual_difference": 1,
    "mean_absolute_error_difference": 2,
    "mean_absolute_error_ratio": 2,
    "mean_squared_error_ratio": 3,
}
"""Figures that compare a mean, and the column that it is of: the prediction, how far it is off,
without its sign, and squared."""


def measures(
    truth: Floats, predicted: Floats, privileged: Bools, *, seed: int
) -> dict[str, Measure]:
    """Every figure of `fairness.metrics.REGRESSION`, of numbers (n,).

    Raises:
        ValueError: the lengths differ, or a number is not finite.
    """
    if not len(truth) == len(predicted) == len(privileged):
        raise ValueError(
            f"got {len(truth)} truths, {len(predicted)} predictions and {len(privileged)} groups"
        )
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise ValueError("got a truth or prediction that is NaN or infinite, expected numbers")
    residual = predicted - truth

    columns = np.stack(
        [predicted, residual, np.abs(residual), residual**2], axis=1, dtype=np.float64
    )
    sides = columns[~privileged], columns[privileged]
    return {
        **_of_means(*sides, seed=seed),
        "infeasible_index": _infeasible_index(predicted, privileged),
        "prediction_distribution_distance": _distribution_distance(
            sides[0][:, 0], sides[1][:, 0], seed=seed
        ),
    }


def _of_means(low: Array, high: Array, *, seed: int) -> dict[str, Measure]:
    """What compares means of the columns of two groups (n, 4), with the interval of resamples that
    are the same for all of them."""
    if not len(low) or not len(high):
        why = missing("one of the two groups has no samples", grouped=True)
        return dict.fromkeys(_MEANS, why)
    seen = low.mean(axis=0)[None], high.mean(axis=0)[None]
    drawn = _means(low, [seed, 0]), _means(high, [seed, 1])
    fewest = min(len(low), len(high))
    return {
        name: replace(
            resampled(float(_compared(*seen, name)[0]), fewest, _compared(*drawn, name)),
            grouped=True,
        )
        for name in _MEANS
    }


def _compared(low: Array, high: Array, name: str) -> Array:
    """(R,): the figure of means (R, 4)."""
    a, b = low[:, _MEANS[name]], high[:, _MEANS[name]]
    if name.endswith("_difference"):
        return a - b
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)


def _means(columns: Array, seed: Sequence[int]) -> Array:
    """(R, 4): means of the columns (n, 4), resampled; of many rows their normal limit."""
    generator, size = np.random.default_rng(seed), len(columns)
    if size > _MANY:
        spread = np.cov(columns.T) / size
        return generator.multivariate_normal(columns.mean(axis=0), spread, size=RESAMPLES)
    weights = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
    return weights @ columns / size


def _infeasible_index(predicted: Floats, privileged: Bools) -> Measure:
    """At how many places of the ranking, the highest number first, a group has fewer above it than
    its share of all, rounded down; counted once for each group. It is a property of these samples.

    Geyik, Ambler and Kenthapadi, "Fairness-Aware Ranking in Search & Recommendation Systems", KDD
    2019, section 3.3.
    """
    if privileged.all() or not privileged.any():
        return missing("one of the two groups has no samples", grouped=True)
    ranked = privileged[np.argsort(-predicted, kind="stable")]
    places = np.arange(1, len(ranked))
    fewer = sum(
        int((side.cumsum()[:-1] < np.floor(side.mean() * places)).sum())
        for side in (ranked, ~ranked)
    )
    return replace(exact(float(fewer), len(ranked)), grouped=True)


def _distribution_distance(low: Array, high: Array, *, seed: int) -> Measure:
    """The two-sample Kolmogorov-Smirnov statistic on a grid of 256 quantiles."""
    if not len(low) or not len(high):
        return missing("one of the two groups has no samples", grouped=True)
    grid = np.unique(np.quantile(np.concatenate([low, high]), np.linspace(0, 1, 256)))

    def shares(side: Array, offset: int) -> tuple[Array, Array]:
        """The distribution function on the grid: itself (1, grid), and resampled."""
        step = np.bincount(np.searchsorted(grid, side), minlength=len(grid))[: len(grid)]
        generator = np.random.default_rng([seed, offset])
        drawn = generator.multinomial(len(side), step / len(side), size=RESAMPLES)
        return step.cumsum()[None] / len(side), drawn.cumsum(axis=1) / len(side)

    (seen_low, drawn_low), (seen_high, drawn_high) = shares(low, 0), shares(high, 1)
    value = float(np.abs(seen_low - seen_high).max())
    draws = np.abs(drawn_low - drawn_high).max(axis=1)
    return resampled(value, min(len(low), len(high)), draws)
