"""A universal perturbation: one change that breaks as many inputs as it can.

Moosavi-Dezfooli et al. 2017, "Universal adversarial perturbations", found by projected gradient
steps on the clipped loss of all inputs together, as Shafahi et al. 2020, "Universal adversarial
training", algorithm 1: a shared change needs no attack inside on each input in turn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import lead, scaled_cross_entropy
from trust_gates.robustness.native.problem import Hunt

_MOST_LOSS = 9.0
"""Beyond it an input is lost already, and the others matter more."""

_REACH = 2.5


def share(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Climb with one change for every open sample of the batch.

    A sample counts as broken by the best change alone, never by one on the way to it.
    """
    part = hunt.open
    ahead = lead(part.answers(part.clean), part.labels, part.targets).abs().median()
    unit = ahead.clamp_min(torch.finfo(ahead.dtype).tiny)

    def clipped(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy: it favours what is nearly lost, else two classes would cancel out."""
        odds = scaled_cross_entropy(logits, labels, targets) / unit
        return torch.nn.functional.softplus(odds).clamp_max(_MOST_LOSS)

    step, best, fewest = part.epsilon * _REACH / steps, part.clean, len(part) + 1
    for _ in range(restarts):
        start = balls.random(part.clean[:1], part.norm, part.generator)
        change = part.epsilon * start
        for _ in range(steps + 1):
            inputs = part.allowed(change.expand(part.clean.shape))
            logits, _, gradient = part.ascent(inputs, clipped)
            left = int((logits.argmax(dim=1) == part.labels).sum())
            if left < fewest:
                best, fewest = inputs, left
            common = gradient.mean(dim=0, keepdim=True)
            wide = torch.full_like(common, part.epsilon)
            change = change + balls.steepest(common, part.norm, step, -wide, wide)
            change = balls.project(change, part.norm, part.epsilon, -wide, wide)
    right = hunt.sieve(best, part.answers(best))
    hunt.keep(best[right])
