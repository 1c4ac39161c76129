"""Optimized Preprocessing: the least change of features and labels that bounds discrimination.

Calmon, Wei, Vinzamuri, Natesan Ramamurthy and Varshney, "Optimized pre-processing for
discrimination prevention", NeurIPS 2017: a randomized map p(x', y' | x, y, d) that minimises the
distance between the distributions of (x, y) and (x', y'), subject to the discrimination
constraint (their eq. 2, as a difference, which is how AIF360 states it) and to a bound on the
expected distortion of each row (their eq. 4). The total variation makes it a linear program.
A twin of AIF360's, which needs cvxpy.

The map is over bins of the few features that tell most of the group: the number of its variables
grows with the square of theirs. It changes training data alone; the trained model is asked about
inputs as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import Cases, Prepared


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """The solution, over states s = (bins of x, y)."""

    chance: np.ndarray
    """(2, S, S): p(s' | d, s), each row a distribution; d is unprivileged, privileged."""

    joint: np.ndarray
    """(2, S): p(d, s) of the data."""

    distortion: np.ndarray
    """(S, S): what the change from s to s' costs."""

    favorable: np.ndarray
    """(S,) bool."""

    def gap(self) -> float:
        """Share favorable of the unprivileged less that of the privileged, after the map."""
        after = np.einsum("ds,dst->dt", self.joint, self.chance)
        shares = after[:, self.favorable].sum(axis=1) / self.joint.sum(axis=1)
        return float(shares[0] - shares[1])


def prepare(cases: Cases, mitigation: Mitigation, seed: int) -> Prepared:
    """Draw each row's new features and label from the map.

    Raises:
        ValueError: the inputs are no feature rows, the labels not two, a group has no rows, or
            no map satisfies both bounds.
    """
    rows = cases.rows("optimized_preprocessing")
    if not set(np.unique(cases.labels)) <= {0, 1}:
        raise ValueError("optimized_preprocessing changes labels, which must be two")
    features = _telling(rows, cases, int(mitigation.option("features")))
    binned, middles = _bins(rows[:, features], int(mitigation.option("bins")))
    states, state = np.unique(
        np.column_stack([binned, cases.truth]).astype(np.int64), axis=0, return_inverse=True
    )
    state = state.reshape(-1)
    solved = solve(
        states,
        np.stack(
            [
                np.bincount(state[cases.privileged == side], minlength=len(states))
                for side in (False, True)
            ]
        )
        / len(rows),
        epsilon=float(mitigation.option("epsilon")),
        distortion=float(mitigation.option("distortion")),
    )
    generator = np.random.default_rng(seed)
    side = cases.privileged.astype(np.int64)
    below = solved.chance[side, state].cumsum(axis=1) < generator.random((len(rows), 1))
    drawn = below.sum(axis=1).clip(max=len(states) - 1)
    inputs = rows.copy()
    for place, feature in enumerate(features):
        moved = states[drawn, place] != binned[:, place]
        inputs[moved, feature] = middles[place][states[drawn, place][moved]]
    favored = states[drawn, -1] == 1
    labels = np.where(favored, cases.favorable, 1 - cases.favorable)
    return Prepared(inputs=inputs.astype(np.float32), labels=labels.astype(np.int64))


def solve(states: np.ndarray, joint: np.ndarray, *, epsilon: float, distortion: float) -> Map:
    """The best map for states (S, features + 1), whose last column is the label, 0 or 1.

    Args:
        joint: (2, S), p(d, s).
        distortion: bound on each row's expected distortion; moving a feature by one bin costs 1,
            changing the label 1.

    Raises:
        ValueError: a group has no rows, or no map satisfies both bounds.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, hstack, identity, vstack

    if not (joint.sum(axis=1) > 0).all():
        raise ValueError("one of the two groups has no training rows")
    count = len(states)
    cost = np.abs(states[:, None] - states[None]).sum(axis=2).astype(np.float64)
    favorable = states[:, -1] == 1
    # Variables: p(s' | d, s) in the order (d, s, s'), then the excess of each state's share.
    pairs = 2 * count
    column = np.arange(pairs * count)
    source = column // count
    target = column % count
    given = joint.reshape(-1)
    into = coo_array((given[source], (target, column)), shape=(count, pairs * count))
    whole = coo_array((np.ones(pairs * count), (source, column)), shape=(pairs, pairs * count))
    moved = coo_array((np.tile(cost.reshape(-1), 2), (source, column)), shape=whole.shape)
    side = source // count
    sign = np.where(side == 0, 1.0, -1.0) / joint.sum(axis=1)[side]
    gap = coo_array((sign * given[source] * favorable[target]).reshape(1, -1))
    slack, none = identity(count), coo_array((pairs, count))
    shares = joint.sum(axis=0)
    empty = coo_array((1, count))
    solution = linprog(
        np.concatenate([np.zeros(pairs * count), np.full(count, 0.5)]),
        A_ub=vstack(
            [
                hstack([into, -slack]),
                hstack([-into, -slack]),
                hstack([moved, none]),
                hstack([gap, empty]),
                hstack([-gap, empty]),
            ]
        ).tocsr(),
        b_ub=np.concatenate([shares, -shares, np.full(pairs, distortion), [epsilon, epsilon]]),
        A_eq=hstack([whole, none]).tocsr(),
        b_eq=np.ones(pairs),
        bounds=(0, 1),
        method="highs",
    )
    if not solution.success:
        raise ValueError(
            f"no map keeps discrimination within {epsilon:g} and distortion within "
            f"{distortion:g}: allow more of one ({solution.message})"
        )
    chance = solution.x[: pairs * count].reshape(2, count, count).clip(min=0)
    return Map(
        chance=chance / chance.sum(axis=2, keepdims=True),
        joint=joint,
        distortion=cost,
        favorable=favorable,
    )


def _telling(rows: np.ndarray, cases: Cases, count: int) -> list[int]:
    """The features whose means differ most between the groups, but the protected one."""
    gap = rows[cases.privileged].mean(axis=0) - rows[~cases.privileged].mean(axis=0)
    spread = rows.std(axis=0)
    telling = np.divide(np.abs(gap), spread, out=np.zeros(len(gap)), where=spread > 0)
    if cases.feature is not None:
        telling[cases.feature] = -1
    return [int(feature) for feature in np.argsort(-telling, kind="stable")[:count]]


def _bins(columns: np.ndarray, count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Each value's bin between quantiles, (N, features), and the median value of each bin."""
    binned = np.empty(columns.shape, dtype=np.int64)
    middles = []
    for place, column in enumerate(columns.T):
        edges = np.unique(np.quantile(column, np.linspace(0, 1, count + 1)[1:-1]))
        found = np.searchsorted(edges, column, side="right")
        _, binned[:, place] = np.unique(found, return_inverse=True)
        middles.append(
            np.array(
                [np.median(column[binned[:, place] == b]) for b in np.unique(binned[:, place])]
            )
        )
    return binned, middles
