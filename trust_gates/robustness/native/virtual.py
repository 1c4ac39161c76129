"""The virtual adversarial method: the change that moves the model's answer the most.

Miyato et al. 2016, "Distributional smoothing with virtual adversarial training", section 3.2: the
divergence between the answers has its first eigenvector found by power iteration, by gradients.
It knows no label, so both directions of the vector are asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import temperature
from trust_gates.robustness.native.problem import Hunt

_PROBE = 0.1
"""How far the divergence is probed, in parts of epsilon."""


def diverge(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Move each open sample by epsilon where its answer changes the most."""
    part = hunt.open
    logits = part.answers(part.clean)
    heat = temperature(logits, part.labels)[:, None]
    answers = (logits / heat).log_softmax(dim=1)
    direction = balls.random(part.clean, "l2", part.generator)

    def divergence(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        moved = (logits / heat).log_softmax(dim=1)
        return (answers.exp() * (answers - moved)).sum(dim=1)

    for _ in range(steps):
        probe = part.clean + _PROBE * part.epsilon * direction
        _, _, gradient = part.ascent(probe, divergence)
        known = gradient.flatten(1).any(dim=1)
        direction = torch.where(balls.column(known, gradient), balls.direction(gradient), direction)
    for sign in (1, -1):
        towards = sign * direction
        inputs = part.allowed(balls.steepest(towards, part.norm, part.epsilon, part.low, part.high))
        right = hunt.sieve(inputs, part.answers(inputs))
        part, direction = part.take(right), direction[right]
    hunt.keep(inputs[right])
