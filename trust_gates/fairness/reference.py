"""The figures by AIF360 itself, on counts.

AIF360 weighs rows, so a frame with one row a cell gives exactly what a million rows would, where
it honors the weights. Where it does not, or says 0 for what cannot be known, `ours` stands in:

- its entropy indices take plain means over rows and ignore instance weights;
- its index at alpha 0 is divided by the mean once more than Speicher et al. (2018) define it;
- its predictive rates are 0 where nobody was favored (or rejected): here that is NaN.

`tests/contract/test_aif360_figures.py` fails when AIF360 mends one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness import figures
from trust_gates.fairness.counts import CELLS

Array = NDArray[np.float64]

_BY_DIFFERENCE = {
    "generalized_true_positive_rate_difference": "generalized_true_positive_rate",
    "generalized_false_positive_rate_difference": "generalized_false_positive_rate",
    "label_statistical_parity_difference": "base_rate",
}
"""Figures that AIF360 has as a difference of a method, not by a name of their own."""


@contextmanager
def quietly() -> Iterator[None]:
    """AIF360 warns of every optional package while it is imported; none is of use here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def metric(columns: Array, unprivileged: list[int], privileged: list[int]) -> Any:
    """AIF360's ClassificationMetric of counts (groups, 6), each non-empty cell a weighted row."""
    import pandas as pd

    with quietly():
        from aif360.datasets import BinaryLabelDataset
        from aif360.metrics import ClassificationMetric

    group, cell = np.nonzero(columns[:, :CELLS])
    weight = columns[group, cell]
    label, decided = (cell // 2).astype(float), (cell % 2).astype(float)
    # The generalized rates add up scores by true label: the mean of a label's cells will do.
    halves = columns[:, :CELLS].reshape(len(columns), 2, 2).sum(axis=2)
    score = columns[group, CELLS + cell // 2] / halves[group, cell // 2]
    truth = BinaryLabelDataset(
        df=pd.DataFrame({"group": group.astype(float), "label": label, "weight": weight}),
        label_names=["label"],
        protected_attribute_names=["group"],
        instance_weights_name="weight",
        favorable_label=1.0,
        unfavorable_label=0.0,
    )
    predicted = truth.copy(deepcopy=True)
    predicted.labels, predicted.scores = decided.reshape(-1, 1), score.reshape(-1, 1)
    return ClassificationMetric(
        truth,
        predicted,
        unprivileged_groups=[{"group": float(index)} for index in unprivileged],
        privileged_groups=[{"group": float(index)} for index in privileged],
    )


def pair(
    columns: Array, unprivileged: list[int], privileged: list[int], *, alpha: float
) -> dict[str, float]:
    """Every figure of `fairness.metrics.PAIRS`, of counts (groups, 6)."""
    sides = (columns[side].sum(axis=0)[None] for side in (unprivileged, privileged))
    ours = figures.pair(*sides, alpha=alpha)
    asked = metric(columns, unprivileged, privileged)

    def ask(name: str) -> float:
        if name in _BY_DIFFERENCE:
            return float(asked.difference(getattr(asked, _BY_DIFFERENCE[name])))
        if name == "label_disparate_impact":
            return float(asked.ratio(asked.base_rate))
        return float(getattr(asked, name)())

    return _prefer(ours, ask, ignores_weights=lambda name: name.startswith("between_group_"))


def whole(columns: Array, *, alpha: float) -> dict[str, float]:
    """Every figure of all rows together, of counts (groups, 6)."""
    ours = figures.whole(columns[None], alpha=alpha)
    asked = metric(columns, [], [])

    def ask(name: str) -> float:
        if name == "balanced_accuracy":  # AIF360's ClassificationMetric has no method for it
            return float(asked.true_positive_rate() + asked.true_negative_rate()) / 2
        return float(getattr(asked, name)())

    entropies = ("entropy_index", "theil_index", "coefficient_of_variation")
    return _prefer(ours, ask, ignores_weights=lambda name: name.endswith(entropies))


def _prefer(
    ours: Mapping[str, Any], ask: Callable[[str], float], *, ignores_weights: Callable[[str], bool]
) -> dict[str, float]:
    """AIF360's figure wherever it is defined and right on counts, else ours."""
    own = {name: float(value[0]) for name, value in ours.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: value if np.isnan(value) or ignores_weights(name) else ask(name)
            for name, value in own.items()
        }
