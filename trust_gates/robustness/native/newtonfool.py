"""NewtonFool: Newton steps that bring the right class's probability down to chance.

Jang et al. 2017, "Objective metrics and gradient descent algorithms for adversarial examples in
machine learning", algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import temperature
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
        above = (-doubt[right] - 1 / logits.shape[1]).clamp_min(0)
        newton = above / balls.size(gradient, "l2").clamp_min(torch.finfo(gradient.dtype).tiny)
        step = torch.minimum(_ETA * balls.size(part.clean, "l2"), newton)
        move = balls.column(step, change) * balls.direction(gradient)
        change = (change + move).clamp(part.low, part.high)


def _doubt(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Of the right class, at a temperature: a sure one has no slope that a float knows, and at a
    lead of 1 Newton's step ends hardly beyond the border."""
    chances = (logits / temperature(logits, labels, sure=1)[:, None]).softmax(dim=1)
    return -chances.gather(1, labels[:, None]).squeeze(1)
