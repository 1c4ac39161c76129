"""Calibrated Equalized Odds: the better-served group forgets some scores until costs are equal.

Pleiss, Raghavan, Wu, Kleinberg and Weinberger, "On fairness and calibration", NeurIPS 2017,
algorithm 1: a random share of one group's scores becomes that group's base rate, which keeps a
calibrated score calibrated.
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
        ValueError: a group lacks favorable or unfavorable rows, or even its base rate alone
            would cost a group less than the other's scores do.
    """
    kind = str(mitigation.option("cost"))
    costs, bases = [], []
    for side in (~privileged, privileged):
        if not (truth[side].any() and (~truth[side]).any()):
            raise ValueError("a group has no favorable or no unfavorable validation rows")
        base = float(truth[side].mean())
        costs.append((_cost(scores[side], truth[side], kind), _trivial(base, kind)))
        bases.append(base)
    (own, own_trivial), (other, other_trivial) = costs
    return Steps(
        unprivileged=Step(mixed=_share(own, other, own_trivial, kind), base=bases[0]),
        privileged=Step(mixed=_share(other, own, other_trivial, kind), base=bases[1]),
    )


def _cost(scores: np.ndarray, truth: np.ndarray, kind: str) -> float:
    """Generalized error: how much score is on the wrong side."""
    missed, alarmed = 1 - scores[truth].mean(), scores[~truth].mean()
    base = truth.mean()
    both = base * missed + (1 - base) * alarmed
    return float({"fnr": missed, "fpr": alarmed, "weighted": both}[kind])


def _trivial(base: float, kind: str) -> float:
    """The same, where every score is the base rate."""
    return {"fnr": 1 - base, "fpr": base, "weighted": 2 * base * (1 - base)}[kind]


def _share(own: float, other: float, trivial: float, kind: str) -> float:
    """How much of a group must forget its score to cost as much as the other group does."""
    if own >= other:
        return 0.0
    if trivial < other:
        raise ValueError(
            f"the better-served group costs {own:.3f} ({kind}) and {trivial:.3f} if it forgets "
            f"all its scores, the other {other:.3f}: no rule equalizes them; choose another cost"
        )
    return (other - own) / (trivial - own)
