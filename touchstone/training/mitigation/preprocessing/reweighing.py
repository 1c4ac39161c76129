"""Reweighing: rows weigh so much that group and label are independent.

Kamiran and Calders, "Data preprocessing techniques for classification without discrimination",
Knowledge and Information Systems 33, 2012, section 5.2.
"""

from __future__ import annotations

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import Cases, Prepared


def prepare(cases: Cases, mitigation: Mitigation, seed: int) -> Prepared:
    """Weigh each row with what its cell should hold over what it holds: P(s) P(y) / P(s, y)."""
    cells = np.stack([cases.privileged.astype(np.int64), cases.labels], axis=1)
    found, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    group = np.array([count[found[:, 0] == value].sum() for value in found[:, 0]])
    label = np.array([count[found[:, 1] == value].sum() for value in found[:, 1]])
    weight = group * label / (len(cells) * count)
    return Prepared(
        inputs=cases.inputs,
        labels=cases.labels,
        weights=weight[cell.reshape(-1)].astype(np.float32),
    )
