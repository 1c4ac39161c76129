"""JSMA: change one value after another, each time the one whose saliency is largest.

Papernot et al. 2016, "The limitations of deep learning in adversarial settings", section IV, with
the map of single values, in both directions (Wiyatno & Xu 2018, "Maximal Jacobian-based saliency
map attack"), towards each likely wrong class in turn. A value goes to the end of its range.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from trust_gates.robustness.native.problem import TARGETS, Hunt, Problem, aim_at_each


def climb(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Change at most epsilon values, in at most `steps` steps."""
    aim_at_each(hunt, TARGETS, partial(_climb, steps=steps))


def _climb(hunt: Hunt, *, steps: int) -> None:
    part = hunt.open
    budget = min(int(part.epsilon), part.clean[0].numel())
    at_once = -(-budget // steps)  # a large budget is spent faster
    change, touched = torch.zeros_like(part.clean), 0
    while touched < budget and len(part):
        count = min(at_once, budget - touched)
        change, touched = _touch(part, change, count), touched + count
        inputs = part.clean + change
        right = hunt.sieve(inputs, part.answers(inputs))
        part, change = part.take(right), change[right]
    hunt.keep(part.clean + change)


def _touch(part: Problem, change: Tensor, count: int) -> Tensor:
    """The `count` most salient values that are as they were go to an end of their range."""
    towards, away = _slopes(part, part.clean + change)
    room = torch.where(towards > 0, part.high, part.low).flatten(1)
    # Salient is what raises the class aimed at and lowers the sum of all others.
    saliency = (-towards * away).clamp_min(0).flatten(1) * room.abs()
    saliency = torch.where(change.flatten(1) == 0, saliency, 0)
    gains, order = saliency.topk(count, dim=1)
    moved = torch.where(gains > 0, room.gather(1, order), change.flatten(1).gather(1, order))
    return change.flatten(1).scatter(1, order, moved).reshape(change.shape)


def _slopes(part: Problem, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients (N, ...) of the logit aimed at and of the sum of the others."""
    inputs = inputs.detach().requires_grad_()
    logits = part.ask(inputs)
    aimed = logits.gather(1, part.targets[:, None]).sum()
    (towards,) = torch.autograd.grad(aimed, inputs, retain_graph=True)
    (away,) = torch.autograd.grad(logits.sum() - aimed, inputs)
    return towards, away
