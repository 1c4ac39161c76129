"""Carlini & Wagner: trade the size of a change for the lead of a wrong class, by Adam.

Carlini & Wagner 2017, "Towards evaluating the robustness of neural networks", sections V and VI:
the objective f6, a change of variables that keeps to the box, and a search for the constant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import lead
from trust_gates.robustness.native.problem import Hunt, Problem

_SEARCHES = 4
"""Constants that are tried, from the smallest; each ten times the last."""

_RATE = 0.05
_CHECK = 10
_INSIDE = 0.99
"""tanh reaches the ends of the box only at infinity."""


def minimize(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Look within the budget: every so often the change is pulled back into it and asked.

    The lead counts in units of what it was: the constants then fit logits of any scale. Under l2
    the change's own square is traded. Under linf, as in section VI-C, what exceeds a
    threshold is; there the threshold starts at epsilon, as no smaller one is asked for.
    """
    for power in range(_SEARCHES):
        part = hunt.open
        if not len(part):
            return
        constant = 10.0**power * (1.0 if part.norm == "l2" else 10.0)
        _descend(hunt, part, constant, steps=steps)


def _descend(hunt: Hunt, part: Problem, constant: float, *, steps: int) -> None:
    half, middle = (part.high - part.low) / 2, (part.high + part.low) / 2
    place = torch.where(half > 0, -middle / half.clamp_min(1e-12), 0)
    hidden = torch.atanh(place.clamp(-_INSIDE, _INSIDE)).requires_grad_()
    optimizer = torch.optim.Adam([hidden], lr=_RATE)
    ahead = lead(part.answers(part.clean), part.labels, part.targets).abs()
    unit = ahead.clamp_min(torch.finfo(ahead.dtype).tiny)
    labels, open_rows = part.labels, torch.ones(len(part), dtype=torch.bool, device=half.device)
    for step in range(1, steps + 1):
        change = middle + half * hidden.tanh()
        behind = (-lead(part.ask(part.clean + change), labels, part.targets)).clamp_min(0)
        loss = (_excess(change, part) + constant * behind / unit)[open_rows].sum()
        optimizer.zero_grad()
        (hidden.grad,) = torch.autograd.grad(loss, hidden)
        optimizer.step()
        if step % _CHECK == 0 or step == steps:
            # Where the optimizer has got to, pulled back into the budget.
            final = (middle + half * hidden.detach().tanh())[open_rows]
            now = part.take(open_rows)
            inputs = now.allowed(final)
            right = hunt.sieve(inputs, now.answers(inputs))
            open_rows[open_rows.clone()] = right
            if not right.any():
                return
    hunt.keep(inputs[right])


def _excess(change: Tensor, part: Problem) -> Tensor:
    """What the objective pays for the change; in units of the budget, so that one rate fits all."""
    scaled = change / part.epsilon
    if part.norm == "l2":
        return balls.size(scaled, "l2").square()
    return (scaled.abs() - 1).clamp_min(0).flatten(1).sum(dim=1)
