"""Reject Option: where the model is least sure, the unprivileged get the benefit of the doubt.

Kamiran, Karim and Zhang, "Decision theory for discrimination-aware classification", ICDM 2012,
as AIF360 searches it: the threshold and margin of best balanced accuracy among those whose figure
is within the bound. Inside the margin the unprivileged are favored and the privileged are not,
which is one threshold a group.
"""

from __future__ import annotations

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.served import Step, Steps

_THRESHOLDS, _MARGINS = np.linspace(0.01, 0.99, 99), 50


def fit(
    scores: np.ndarray, truth: np.ndarray, privileged: np.ndarray, mitigation: Mitigation
) -> Steps:
    """The rule for scores (N,) of the favorable class.

    Raises:
        ValueError: a group lacks favorable or unfavorable rows, or no rule meets the bound.
    """
    figure, bound = str(mitigation.option("figure")), float(mitigation.option("bound"))
    reach = np.minimum(_THRESHOLDS, 1 - _THRESHOLDS)[:, None] * np.linspace(0, 1, _MARGINS)
    # The exact edges 0 and 1 would favor or reject everybody, whatever the score.
    low = (_THRESHOLDS[:, None] - reach).clip(1e-4).reshape(-1)
    high = (_THRESHOLDS[:, None] + reach).clip(max=1 - 1e-4).reshape(-1)
    sides = (~privileged, low), (privileged, high)
    tpr, fpr = (
        [_share(scores[side & (truth == true)], edge) for side, edge in sides]
        for true in (True, False)
    )
    selected = [_share(scores[side], edge) for side, edge in sides]
    gap = {
        "statistical_parity_difference": selected[0] - selected[1],
        "equal_opportunity_difference": tpr[0] - tpr[1],
        "average_odds_difference": (tpr[0] - tpr[1] + fpr[0] - fpr[1]) / 2,
    }[figure]
    mine, theirs = (
        np.array([(side & (truth == true)).sum() for side, _ in sides]) for true in (True, False)
    )
    hits = (tpr[0] * mine[0] + tpr[1] * mine[1]) / mine.sum()
    alarms = (fpr[0] * theirs[0] + fpr[1] * theirs[1]) / theirs.sum()
    balanced = np.where(np.abs(gap) <= bound, (hits + 1 - alarms) / 2, -1.0)
    best = int(balanced.argmax())
    if balanced[best] < 0:
        raise ValueError(
            f"no threshold and margin brings {figure} within {bound:g} on the validation split "
            f"(nearest: {gap[np.abs(gap).argmin()]:.3f}); allow a larger bound"
        )
    return Steps(
        unprivileged=Step(threshold=float(low[best])), privileged=Step(threshold=float(high[best]))
    )


def _share(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(edges,): the share of scores at or above each edge."""
    if not len(scores):
        raise ValueError("a group has no favorable or no unfavorable validation rows")
    below = np.searchsorted(np.sort(scores), edges, side="left")
    return np.asarray(1 - below / len(scores))
