"""NewtonFool: Newton steps that bring the right class's probability down to chance.

Jang et al. 2017, "Objective metrics and gradient descent algorithms for adversarial examples in
machine learning", algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.problem import Hunt

_ETA = 0.01
"""A step is at most this part of the input's own norm."""


def descend(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Lower the right class's probability until another one wins, however far away that is."""
    part = hunt.open
    change = torch.zeros_like(part.clean)
    for _ in range(steps):
        logits, doubt, gradient = part.ascent(part.clean + change, _doubt)
        right = hunt.sieve(part.clean + change, logits)
        part, change, gradient = part.take(right), change[right], gradient[right]
        if not len(part):
            return
        slope = balls.size(gradient, "l2")
        above = -doubt[right] - 1 / logits.shape[1]
        drop = torch.minimum(_ETA * balls.size(part.clean, "l2") * slope, above)
        step = (drop / slope.square().clamp_min(1e-12)).clamp_min(0)
        change = (change + balls.column(step, change) * gradient).clamp(part.low, part.high)


def _doubt(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    return -logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
