"""The eight figures by AIF360 itself. Importing this imports AIF360: only from inside functions."""

from __future__ import annotations

import pandas as pd
from aif360.datasets import BinaryLabelDataset
from aif360.metrics import ClassificationMetric

from trust_gates.fairness.counts import METRICS
from trust_gates.fairness.rows import Rows


def figures(rows: Rows) -> dict[str, float]:
    """Every metric of `counts.METRICS`, measured by AIF360's ClassificationMetric."""
    frame = pd.DataFrame(
        {"group": rows.privileged.astype(float), "label": rows.truth.astype(float)}
    )
    truth = BinaryLabelDataset(
        df=frame,
        label_names=["label"],
        protected_attribute_names=["group"],
        favorable_label=1.0,
        unfavorable_label=0.0,
    )
    predicted = truth.copy(deepcopy=True)
    predicted.labels = rows.predicted.astype(float).reshape(-1, 1)
    metric = ClassificationMetric(
        truth, predicted, unprivileged_groups=[{"group": 0.0}], privileged_groups=[{"group": 1.0}]
    )
    figures = {
        name: float(getattr(metric, name)()) for name in METRICS if name != "balanced_accuracy"
    }
    # AIF360's ClassificationMetric has no method for it.
    balanced = (metric.true_positive_rate() + metric.true_negative_rate()) / 2
    return {**figures, "balanced_accuracy": float(balanced)}
