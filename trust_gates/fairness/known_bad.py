"""Would the policy refuse decisions that are known to be unfair, on the same samples and groups?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from trust_gates.fairness.groups import Grouping
from trust_gates.fairness.measured import View
from trust_gates.fairness.metrics import INDIVIDUAL, RATES
from trust_gates.fairness.rows import Rows
from trust_gates.samples import Bools, Floats

_ERRORS = frozenset(
    f"{rate}_{form}"
    for rate in ("false_positive_rate", "false_discovery_rate", "false_omission_rate", "error_rate")
    for form in ("difference", "ratio")
) | {"average_predictive_value_difference", "generalized_false_positive_rate_difference"}
"""What compares errors and says nothing of who is favored."""

_LABELS = frozenset(
    {
        "label_statistical_parity_difference",
        "label_disparate_impact",
        "label_consistency",
        "base_rate",
        "smoothed_empirical_differential_fairness",
    }
)
"""What is of the data, whatever is decided."""

_ALONE = frozenset(one.name for one in (*INDIVIDUAL, *RATES)) | {"accuracy", "balanced_accuracy"}
"""What is of all rows together."""


def views(
    judged: Sequence[View], groups: Grouping, required: Collection[str], *, seed: int
) -> dict[str, list[View]]:
    """What is known to be unfair, in words, and the judged views decided so."""
    top = set.intersection(*(set(one.privileged) for one in groups.comparisons))
    found: dict[str, list[View]] = {}
    for view in judged:
        favored = np.isin(view.rows.group, list(top))
        for words, rows in _cases(view.rows, favored, set(required), seed):
            found.setdefault(words, []).append(replace(view, rows=rows))
    return found


def _cases(rows: Rows, favored: Bools, required: set[str], seed: int) -> Iterator[tuple[str, Rows]]:
    drawn = np.random.default_rng(seed).random(len(rows)) < 0.5
    yield "favorable outcomes for the privileged alone", _decided(rows, favored)
    if required <= _ERRORS | _ALONE | _LABELS:
        right = np.where(favored, rows.truth, ~rows.truth)
        yield "right decisions for the privileged alone", _decided(rows, right)
    if required & _ALONE:
        yield "decisions drawn at random", _decided(rows, drawn)
    if required & _LABELS:
        yield "favorable labels for the privileged alone", replace(rows, truth=favored)
        yield "labels drawn at random", replace(rows, truth=drawn)


def _decided(rows: Rows, predicted: Bools) -> Rows:
    scores = None if rows.scores is None else predicted.astype(np.float64)
    return replace(rows, predicted=predicted, scores=scores)


def repaired(before: Floats, privileged: Bools, *, low: float, high: float) -> Floats:
    """Rows (n, F) of which a repair has moved each of the unprivileged as far as there is room."""
    farthest = np.where(before - low > high - before, low, high)
    moved: Floats = np.where(privileged[:, None], before, farthest)
    return moved


def numbers(truth: Floats, privileged: Bools) -> Mapping[str, Floats]:
    """Numbers (n,) that a regression should not predict, by what they are."""
    least, most = truth.min(initial=0), truth.max(initial=0)
    return {
        "the highest number for the privileged alone": np.where(privileged, most, least),
        "the right number for the privileged alone": np.where(privileged, truth, least - 1),
    }
