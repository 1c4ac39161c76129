"""Which digit was written? A small convolutional network on pictures of 8 × 8 grey pixels.

The data are the 1,797 digits by 43 people (Alpaydin and Kaynak 1998) that scikit-learn bundles:
nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training import Batch, Description, ModelSpec, Parameter, RawData

SIZE = 8
"""Pixels, each way."""

_LEVELS = 16
"""The darkest of the pictures' seventeen greys."""


class Digits(ModelSpec):
    """Tells the ten digits apart."""

    task = "classification"

    def load_data(self, uri: str, *, seed: int) -> RawData:
        """`sklearn:digits`: pictures (N, 1, 8, 8) from 0, the paper, to 1, the ink."""
        if uri != "sklearn:digits":
            raise ValueError(f"got data uri {uri!r}, expected sklearn:digits")
        from sklearn.datasets import load_digits

        digits = load_digits()
        return RawData(
            description=Description(
                task=self.task,
                classes=tuple(str(digit) for digit in range(10)),
                inputs={
                    "shape": [1, SIZE, SIZE],
                    "low": 0.0,
                    "high": 1.0,
                    "kind": "image",
                    "features": ["ink"],
                },
                protected={},
                seed=seed,
            ),
            arrays={
                "inputs": (digits.images[:, None] / _LEVELS).astype(np.float32),
                "labels": digits.target.astype(np.int64),
            },
        )

    def build(self, parameters: Mapping[str, Parameter]) -> nn.Module:
        """Hyperparameters: `width`, channels of the first layer; the second has twice as many."""
        width = int(parameters.get("width", 16))
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * (SIZE // 2) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Move half of the batches by a pixel: a digit is the same one place further."""
        if torch.rand((), generator=generator) < 0.5:
            return batch
        across, down = torch.randint(-1, 2, (2,), generator=generator).tolist()
        moved = F.pad(batch.inputs, (1, 1, 1, 1))
        moved = moved[:, :, 1 + down : 1 + down + SIZE, 1 + across : 1 + across + SIZE]
        return Batch(inputs=moved.contiguous(), labels=batch.labels)

    def loss(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(module(batch.inputs), batch.labels)

    def predict(self, module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return module(inputs)
