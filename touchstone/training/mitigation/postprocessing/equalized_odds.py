"""Equalized Odds: chances of changing an answer that give both groups the same error rates.

Hardt, Price and Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016, section
4.1: a linear program of four chances that loses the least accuracy.
"""

from __future__ import annotations

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.served import Step, Steps


def fit(
    scores: np.ndarray, truth: np.ndarray, privileged: np.ndarray, mitigation: Mitigation
) -> Steps:
    """The rule for scores (N,) of the favorable class.

    Raises:
        ValueError: a group lacks favorable or unfavorable rows.
    """
    from scipy.optimize import linprog

    favored = scores >= 0.5
    rates = []  # of each group: true and false positive rate, and the shares of both labels
    for side in (~privileged, privileged):
        true, false = side & truth, side & ~truth
        if not (true.any() and false.any()):
            raise ValueError("a group has no favorable or no unfavorable validation rows")
        rates.append((favored[true].mean(), favored[false].mean(), true.sum(), false.sum()))
    # Variables: the chance of the favorable answer after a favorable and an unfavorable one.
    cost = np.concatenate(
        [
            np.array([negatives * fpr - positives * tpr,
                      negatives * (1 - fpr) - positives * (1 - tpr)]) / len(scores)
            for tpr, fpr, positives, negatives in rates
        ]
    )  # fmt: skip
    (tpr, fpr, *_), (other_tpr, other_fpr, *_) = rates
    equal = np.array(
        [
            [tpr, 1 - tpr, -other_tpr, -(1 - other_tpr)],
            [fpr, 1 - fpr, -other_fpr, -(1 - other_fpr)],
        ]
    )
    solution = linprog(cost, A_eq=equal, b_eq=[0, 0], bounds=(0, 1), method="highs")
    above, below, other_above, other_below = solution.x.clip(0, 1).tolist()
    return Steps(
        unprivileged=Step(above=above, below=below),
        privileged=Step(above=other_above, below=other_below),
    )
