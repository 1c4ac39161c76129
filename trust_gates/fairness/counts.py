"""The eight figures from eight counts, for thousands of resamples at once.

AIF360 gives the figures themselves; this is the same arithmetic on weighted counts, which a test
holds equal to AIF360's, because a thousand AIF360 data sets would take minutes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 8
"""Index of a cell: 4 x privileged + 2 x favorable label + favorable prediction."""

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "statistical_parity_difference",
    "disparate_impact",
    "equal_opportunity_difference",
    "average_odds_difference",
    "theil_index",
    "false_negative_rate_difference",
)


def cells(
    privileged: NDArray[np.bool_], truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """(rows,): the cell of each row."""
    return 4 * privileged.astype(np.int64) + 2 * truth + predicted


def figures(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Every metric, (R,), of counts (R, 8); NaN where a rate has nothing to be measured on.

    Differences and ratios are unprivileged against privileged, as AIF360's.
    """
    unprivileged, privileged = counts[:, :4].T, counts[:, 4:].T
    low, high = _rates(unprivileged), _rates(privileged)
    both = _rates(unprivileged + privileged)
    return {
        "accuracy": both["accuracy"],
        "balanced_accuracy": (both["tpr"] + 1 - both["fpr"]) / 2,
        "statistical_parity_difference": low["selected"] - high["selected"],
        "disparate_impact": _divide(low["selected"], high["selected"]),
        "equal_opportunity_difference": low["tpr"] - high["tpr"],
        "average_odds_difference": (low["fpr"] - high["fpr"] + low["tpr"] - high["tpr"]) / 2,
        "theil_index": _theil(unprivileged + privileged),
        "false_negative_rate_difference": high["tpr"] - low["tpr"],
    }


def _rates(quarter: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    negative, false_positive, missed, hit = quarter
    total = quarter.sum(axis=0)
    return {
        "accuracy": _divide(negative + hit, total),
        "selected": _divide(false_positive + hit, total),
        "tpr": _divide(hit, missed + hit),
        "fpr": _divide(false_positive, negative + false_positive),
    }


def _theil(quarter: NDArray[np.float64]) -> NDArray[np.float64]:
    # The benefit of a row is 1 + prediction - label: 0 when missed, 2 when wrongly favored.
    negative, false_positive, missed, hit = quarter
    total = quarter.sum(axis=0)
    mean = _divide(negative + hit + 2 * false_positive, total)
    ones, twos = _divide(negative + hit, total), _divide(false_positive, total)
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = 1 / mean, 2 / mean
        index: NDArray[np.float64] = ones * one * np.log(one) + twos * two * np.log(two)
    return index


def _divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    np.divide(a, b, out=result, where=b != 0)
    return result
