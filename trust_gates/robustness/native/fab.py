"""FAB: the nearest input that is wrong, by linearising the border between two classes.

Croce & Hein 2020, "Minimally distorted adversarial examples with a fast adaptive boundary
attack", in its targeted form. One forward and one backward pass a step: where the model is found
wrong, the linearisation of that point serves the step back towards the clean input as well.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.apgd import TARGETS
from trust_gates.robustness.native.losses import targeted_lead
from trust_gates.robustness.native.problem import Hunt, Problem, aim_at_each

_MOST_BIAS = 0.1
_OVERSHOOT = 1.05
_BACK = 0.9


def within_budget(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Break what has a wrong input within epsilon; leave the rest as it was."""
    for restart in range(restarts):
        aim_at_each(hunt, TARGETS, partial(_within_budget, steps=steps, random=restart > 0))


def _within_budget(hunt: Hunt, *, steps: int, random: bool) -> None:
    nearest, distance = minimize(hunt.open, steps=steps, random=random)
    near = distance <= hunt.problem.epsilon
    inputs = torch.where(balls.column(near, nearest), nearest, hunt.open.clean)
    hunt.sieve(inputs, hunt.open.answers(inputs))


def minimize(part: Problem, *, steps: int, random: bool) -> tuple[Tensor, Tensor]:
    """The nearest wrong inputs towards `part.targets` and their distances (N,).

    Infinite where none was found. A sample stops as soon as it is wrong within epsilon.
    """
    nearest = part.clean.clone()
    distance = torch.full((len(part),), torch.inf, device=nearest.device)
    rows = torch.arange(len(part), device=nearest.device)
    start = 0.5 * part.epsilon * balls.random(part.clean, part.norm, part.generator)
    inputs = part.allowed(start) if random else part.clean
    for _ in range(steps):
        logits, lead, slope = part.ascent(inputs, targeted_lead)
        change = inputs - part.clean
        wrong = logits.argmax(dim=1) != part.labels
        apart = balls.size(change, part.norm)
        closer = wrong & (apart < distance[rows])
        nearest[rows[closer]], distance[rows[closer]] = inputs[closer], apart[closer]
        going = distance[rows] > part.epsilon
        if not going.all():
            part, rows, wrong = part.take(going), rows[going], wrong[going]
            change, lead, slope = change[going], lead[going], slope[going]
        if not len(rows):
            break
        inputs = part.clean + _next(part, change, lead, slope, wrong)
    return nearest, distance


def _next(part: Problem, change: Tensor, lead: Tensor, slope: Tensor, wrong: Tensor) -> Tensor:
    """Between the points of the linearised border nearest to here and to the clean input."""
    # The border: slope . c = level for a change c from the clean input.
    level = (slope * change).flatten(1).sum(dim=1) - lead
    here = torch.where(balls.column(wrong, change), _BACK * change, change)
    missing = level - (slope * here).flatten(1).sum(dim=1)
    room = part.low - here, part.high - here
    step, length = balls.to_hyperplane(slope, missing, part.norm, *room)
    direct, direct_length = balls.to_hyperplane(slope, level, part.norm, part.low, part.high)
    bias = (length / (length + direct_length).clamp_min(1e-12)).clamp_max(_MOST_BIAS)
    bias = balls.column(bias, change)
    mixed = (1 - bias) * (here + _OVERSHOOT * step) + bias * _OVERSHOOT * direct
    return mixed.clamp(part.low, part.high)
