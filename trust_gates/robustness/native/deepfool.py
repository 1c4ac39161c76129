"""DeepFool: step onto the nearest of the linearised borders to the other classes.

Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural
networks", algorithm 2 and, for other norms than l2, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.problem import TARGETS, Hunt, Problem

_OVERSHOOT = 1.001


def cross(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Walk each open sample over the border next to it, however far away that is."""
    part = hunt.open
    targets, change = part.runners_up(TARGETS), torch.zeros_like(part.clean)
    for _ in range(steps):
        inputs = part.clean + (_OVERSHOOT * change).clamp(part.low, part.high)
        logits, leads, slopes = part.leads(inputs, targets)
        right = hunt.sieve(inputs, logits)
        part, targets, change = part.take(right), targets[right], change[right]
        if not len(part):
            return
        change = change + _step(part, change, leads[right], slopes[right])


def _step(part: Problem, change: Tensor, leads: Tensor, slopes: Tensor) -> Tensor:
    """Onto the border that would be nearest within the box if the model were linear."""
    count, shape = leads.shape[1], slopes.shape
    low, high = ((side - change).repeat_interleave(count, dim=0) for side in (part.low, part.high))
    steps, lengths = balls.to_hyperplane(
        slopes.flatten(0, 1), -leads.flatten(), part.norm, low, high
    )
    gained = (steps * slopes.flatten(0, 1)).flatten(1).sum(dim=1)
    out_of_reach = gained < 0.99 * -leads.flatten()
    nearest = torch.where(out_of_reach, torch.inf, lengths).reshape(leads.shape).argmin(dim=1)
    return steps.reshape(shape)[torch.arange(len(part), device=leads.device), nearest]
