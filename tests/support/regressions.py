"""Models that predict a number, with known errors, and samples to judge them on."""

import numpy as np
import torch

from trust_gates.samples import Samples
from trust_gates.target import Target, column


class Slope(torch.nn.Module):
    """Predicts 10 + w.(x - 0.5), each number as (N,)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.as_tensor(weight, dtype=torch.float32))

    def forward(self, x):
        return 10 + (x - 0.5).flatten(1) @ self.weight


def slope_target(weight, change=lambda numbers: numbers, **more):
    """The model; `change` is what comes after it."""
    module = Slope(weight)
    told = lambda x: column(change(module(x)))  # noqa: E731
    return Target(module=module, predict=told, low=0.0, high=1.0, **more)


def slope_samples(weight, *, noise=0.3, count=200, seed=0, shape=None, **groups):
    """Samples within [0.1, 0.9] whose truth is the model's number, but for some noise."""
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0.1, 0.9, size=(count, len(weight))).astype(np.float32)
    exact = 10 + (inputs - 0.5).astype(np.float64) @ np.asarray(weight)
    return Samples(
        inputs=inputs.reshape(count, *(shape or (len(weight),))),
        classes=(),
        targets=(exact + noise * generator.normal(size=count)).astype(np.float32),
        groups={name: np.asarray(values) for name, values in groups.items()},
    )
