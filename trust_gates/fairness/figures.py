"""AIF360's group figures from counts, for thousands of resamples at once.

`tests/contract/test_aif360_figures.py` holds each equal to AIF360's own on whole frames of rows. It
is not asked while a gate judges: a thousand of its data sets would take minutes, and importing it
takes longer than all the rest. NaN wherever a rate has nothing to be measured on, where AIF360 says
0; at alpha 0 the entropy index is that of Speicher et al. (2018), which AIF360 divides by the mean
benefit once more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness.counts import FN, FP, SCORE_UNFAVORABLE, TN, TP, Rate

Array = NDArray[np.float64]

_ALL, _FAVORABLE, _UNFAVORABLE = (TN, FP, FN, TP), (FN, TP), (TN, FP)
_FAVORED, _REJECTED = (FP, TP), (TN, FN)

RATES = {
    "true_positive_rate": Rate(of=_FAVORABLE, hits=(TP,)),
    "true_negative_rate": Rate(of=_UNFAVORABLE, hits=(TN,)),
    "false_positive_rate": Rate(of=_UNFAVORABLE, hits=(FP,)),
    "false_negative_rate": Rate(of=_FAVORABLE, hits=(FN,)),
    "positive_predictive_value": Rate(of=_FAVORED, hits=(TP,)),
    "negative_predictive_value": Rate(of=_REJECTED, hits=(TN,)),
    "false_discovery_rate": Rate(of=_FAVORED, hits=(FP,)),
    "false_omission_rate": Rate(of=_REJECTED, hits=(FN,)),
    "accuracy": Rate(of=_ALL, hits=(TN, TP)),
    "error_rate": Rate(of=_ALL, hits=(FP, FN)),
    "selection_rate": Rate(of=_ALL, hits=_FAVORED),
    "base_rate": Rate(of=_ALL, hits=_FAVORABLE),
    "generalized_true_positive_rate": Rate(of=_FAVORABLE),
    "generalized_true_negative_rate": Rate(of=_UNFAVORABLE, turned=True),
    "generalized_false_positive_rate": Rate(of=_UNFAVORABLE),
    "generalized_false_negative_rate": Rate(of=_FAVORABLE, turned=True),
}
"""Each rate: the kinds of rows that it rests on, and those that it counts."""

DIFFERENCES = {
    "statistical_parity_difference": "selection_rate",
    "mean_difference": "selection_rate",
    "label_statistical_parity_difference": "base_rate",
    "equal_opportunity_difference": "true_positive_rate",
    "true_positive_rate_difference": "true_positive_rate",
    "false_positive_rate_difference": "false_positive_rate",
    "false_negative_rate_difference": "false_negative_rate",
    "false_omission_rate_difference": "false_omission_rate",
    "false_discovery_rate_difference": "false_discovery_rate",
    "error_rate_difference": "error_rate",
    "generalized_true_positive_rate_difference": "generalized_true_positive_rate",
    "generalized_false_positive_rate_difference": "generalized_false_positive_rate",
}
RATIOS = {
    "disparate_impact": "selection_rate",
    "label_disparate_impact": "base_rate",
    "false_positive_rate_ratio": "false_positive_rate",
    "false_negative_rate_ratio": "false_negative_rate",
    "false_omission_rate_ratio": "false_omission_rate",
    "false_discovery_rate_ratio": "false_discovery_rate",
    "error_rate_ratio": "error_rate",
}
"""Figure to the rate that it compares."""

ODDS = ("false_positive_rate", "true_positive_rate")
MEANS = {
    "average_odds_difference": ODDS,
    "average_predictive_value_difference": ("positive_predictive_value", "false_omission_rate"),
}
"""Figure to the rates whose differences it is the mean of: opposite ones cancel."""

MEAN_DISTANCES = {"average_abs_odds_difference": ODDS}
LARGEST = {
    "equalized_odds_difference": ODDS,
    "generalized_equalized_odds_difference": (
        "generalized_false_positive_rate",
        "generalized_true_positive_rate",
    ),
}
"""Figure to the rates whose differences it takes by size, the mean of them or the largest."""


def compared(figure: str) -> tuple[str, ...]:
    """The rates of both groups that a figure is made of, on whose rows it rests; none for an
    entropy, which rests on all rows."""
    for table in (MEANS, MEAN_DISTANCES, LARGEST):
        if figure in table:
            return table[figure]
    rate = {**DIFFERENCES, **RATIOS}.get(figure)
    return () if rate is None else (rate,)


def rates(counts: Array) -> dict[str, Array]:
    """Every rate, (R,), of counts (R, 6)."""

    def rate(one: Rate) -> Array:
        if one.hits:
            part = counts[:, list(one.hits)].sum(axis=1)
        else:
            part = counts[:, SCORE_UNFAVORABLE + int(one.of == _FAVORABLE)]
        found = _divide(part, counts[:, list(one.of)].sum(axis=1))
        return 1 - found if one.turned else found

    found = {name: rate(one) for name, one in RATES.items()}
    odds = found["true_positive_rate"] + found["true_negative_rate"]
    return {**found, "balanced_accuracy": odds / 2}


def pair(unprivileged: Array, privileged: Array, *, alpha: float) -> dict[str, Array]:
    """Every figure of `fairness.metrics.PAIRS`, (R,), of counts (R, 6) of two groups."""
    low, high = rates(unprivileged), rates(privileged)

    def gap(rate: str) -> Array:
        return low[rate] - high[rate]

    def sizes(names: tuple[str, ...]) -> Array:
        return np.abs([gap(name) for name in names])

    return {
        **{name: gap(rate) for name, rate in DIFFERENCES.items()},
        **{name: _divide(low[rate], high[rate]) for name, rate in RATIOS.items()},
        **{name: (gap(one) + gap(other)) / 2 for name, (one, other) in MEANS.items()},
        **{name: sizes(of).mean(axis=0) for name, of in MEAN_DISTANCES.items()},
        **{name: sizes(of).max(axis=0) for name, of in LARGEST.items()},
        **_named(
            "between_group_", _between(np.stack([unprivileged, privileged], axis=1)), alpha=alpha
        ),
    }


def whole(counts: Array, *, alpha: float, concentration: float = 1.0) -> dict[str, Array]:
    """Every figure that is of all rows together, (R,), of counts (R, groups, 6)."""
    total = counts.sum(axis=1)
    tn, fp, fn, tp = (total[:, column] for column in (TN, FP, FN, TP))
    # The benefit of a row is 1 + prediction - label: 0 when missed, 2 when wrongly favored.
    benefit = np.broadcast_to(np.array([0.0, 1.0, 2.0]), (len(total), 3))
    weight = np.stack([fn, tn + tp, fp], axis=1)
    figures = {
        **rates(total),
        "power": tp,
        **_named("", (benefit, weight), alpha=alpha),
        **_named("between_all_groups_", _between(counts), alpha=alpha),
    }
    if counts.shape[1] > 1:  # else there are no two groups to compare
        labels = _differential(counts[..., FN] + counts[..., TP], counts, concentration)
        decided = _differential(counts[..., FP] + counts[..., TP], counts, concentration)
        figures["smoothed_empirical_differential_fairness"] = labels
        figures["differential_fairness_bias_amplification"] = decided - labels
    return figures


def entropy(benefit: Array, weight: Array, alpha: float) -> Array:
    """Generalized entropy index, (R,), of benefits (R, n) that occur `weight` times.

    Speicher et al., "A Unified Approach to Quantifying Algorithmic Unfairness", KDD 2018. NaN
    where it is infinite: for alpha <= 0 as soon as somebody has no benefit at all.
    """
    total = weight.sum(axis=1, keepdims=True)
    share = _divide(weight, total)
    ratio = _divide(benefit, (share * benefit).sum(axis=1, keepdims=True))
    there = share > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        if alpha == 1:
            term = np.where(ratio > 0, ratio * np.log(ratio), 0.0)
        elif alpha == 0:
            term = -np.log(ratio)
        else:
            term = (ratio**alpha - 1) / (alpha * (alpha - 1))
        index: Array = np.where(there, share * term, 0.0).sum(axis=1)
    index[~np.isfinite(index) | np.isnan(ratio).any(axis=1)] = np.nan
    return index


def _named(prefix: str, of: tuple[Array, Array], *, alpha: float) -> dict[str, Array]:
    return {
        f"{prefix}generalized_entropy_index": entropy(*of, alpha),
        f"{prefix}theil_index": entropy(*of, 1),
        f"{prefix}coefficient_of_variation": np.sqrt(2 * entropy(*of, 2).clip(min=0)),
    }


def _between(counts: Array) -> tuple[Array, Array]:
    """Mean benefit and size, (R, groups), of counts (R, groups, 6)."""
    size = counts[..., : TP + 1].sum(axis=-1)
    mean = _divide(counts[..., TN] + counts[..., TP] + 2 * counts[..., FP], size)
    return np.where(size > 0, mean, 0.0), size


def _differential(favored: Array, counts: Array, concentration: float) -> Array:
    """Foulds et al., "An Intersectional Definition of Fairness", 2018: Dirichlet-smoothed."""
    size = counts[..., : TP + 1].sum(axis=-1)
    log = np.log((favored + concentration / 2) / (size + concentration))
    other = np.log((size - favored + concentration / 2) / (size + concentration))
    result = np.zeros(len(size))
    for logs in (log, other):
        high, low = (np.where(size > 0, logs, end) for end in (-np.inf, np.inf))
        result = np.maximum(result, high.max(axis=1) - low.min(axis=1))
    result[(size > 0).sum(axis=1) < 2] = np.nan
    return result


def _divide(a: Array, b: Array) -> Array:
    shape = np.broadcast_shapes(a.shape, b.shape)
    result: Array = np.full(shape, np.nan)
    np.divide(a, b, out=result, where=np.broadcast_to(b != 0, shape))
    return result
