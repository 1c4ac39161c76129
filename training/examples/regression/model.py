"""How far will a patient's diabetes progress within a year? A small network on ten figures.

The data are the 442 patients of Efron et al. (2004) that scikit-learn bundles: nothing is
downloaded. The number predicted is theirs, from 25 to 346; larger is worse.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training import Batch, Description, ModelSpec, Parameter, RawData

SEX = ("group 1", "group 2")
"""The source codes sex as 1 and 2 and does not say which is which: neither do we."""

MEAN, SPREAD = 152.0, 77.0
"""About the mean and the standard deviation of what is predicted: a network learns numbers near 0
and 1 fast, and others hardly."""


class Progression(ModelSpec):
    """Predicts the measure of disease progression one year after the figures were taken."""

    task = "regression"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """`sklearn:diabetes`: features scaled to [0, 1], sex protected and also a feature."""
        if uri != "sklearn:diabetes":
            raise ValueError(f"got data uri {uri!r}, expected sklearn:diabetes")
        from sklearn.datasets import load_diabetes

        table = load_diabetes(scaled=False)
        features = table.data.astype(np.float32)
        low, high = features.min(axis=0), features.max(axis=0)
        sex = table.data[:, table.feature_names.index("sex")]
        return RawData(
            description=Description(
                task=self.task,
                classes=(),
                inputs={
                    "shape": [features.shape[1]],
                    "low": 0.0,
                    "high": 1.0,
                    "kind": "tabular",
                    "features": list(table.feature_names),
                    "immutable": ["age"],
                    "categorical": ["sex"],
                },
                protected={"sex": SEX},
                seed=seed,
            ),
            arrays={
                "inputs": ((features - low) / (high - low)).clip(0, 1),
                "targets": table.target.astype(np.float32),
                "protected_sex": (sex == sex.max()).astype(np.int64),
            },
        )

    def build(self, parameters: Mapping[str, Parameter]) -> nn.Module:
        """Hyperparameters: `width` of the hidden layer, `dropout` from 0 to 1."""
        width = int(parameters.get("width", 16))
        return nn.Sequential(
            nn.Linear(10, width),
            nn.Tanh(),
            nn.Dropout(float(parameters.get("dropout", 0.1))),
            nn.Linear(width, 1),
        )

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        return F.mse_loss(self.predict(module, batch.inputs), batch.targets) / SPREAD**2

    def predict(self, module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return MEAN + SPREAD * module(inputs).squeeze(1)
