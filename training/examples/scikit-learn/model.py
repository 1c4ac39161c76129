"""Is a lump in the breast malignant? A random forest of scikit-learn on thirty figures of it.

The data are the 569 cases of Wolberg, Street and Mangasarian (1993) that scikit-learn bundles:
nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from touchstone.training import Description, EstimatorSpec, Parameter, RawData

TEXTURES = ("fine", "coarse")
"""A case's mean texture lies up to the median of all cases, or above it."""


class Diagnosis(EstimatorSpec):
    """Tells malignant lumps from benign ones."""

    task = "classification"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """`sklearn:breast_cancer`: each figure by its rank among all cases, from 0 to 1."""
        if uri != "sklearn:breast_cancer":
            raise ValueError(f"got data uri {uri!r}, expected sklearn:breast_cancer")
        from scipy.stats import rankdata
        from sklearn.datasets import load_breast_cancer

        table = load_breast_cancer()
        texture = table.data[:, list(table.feature_names).index("mean texture")]
        # Trees only compare, so ranks tell them as much as the figures do, and one epsilon then
        # means as much of each: a change that passes so many per cent of all cases.
        ranks = (rankdata(table.data, axis=0) - 1) / (len(table.data) - 1)
        return RawData(
            description=Description(
                task=self.task,
                classes=tuple(table.target_names),
                inputs={
                    "shape": [table.data.shape[1]],
                    "low": 0.0,
                    "high": 1.0,
                    "kind": "tabular",
                    "features": list(table.feature_names),
                },
                protected={"texture": TEXTURES},
                seed=seed,
            ),
            arrays={
                "inputs": ranks.astype(np.float32),
                "labels": table.target.astype(np.int64),
                "protected_texture": (texture > np.median(texture)).astype(np.int64),
            },
        )

    def build(self, parameters: Mapping[str, Parameter]) -> RandomForestClassifier:
        """Hyperparameters: `trees`, the least samples of a `leaf`, the share of `features` that a
        split looks at."""
        return RandomForestClassifier(
            n_estimators=int(parameters.get("trees", 60)),
            min_samples_leaf=int(parameters.get("leaf", 3)),
            max_features=float(parameters.get("features", 0.3)),
        )
