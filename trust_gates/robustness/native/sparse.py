"""Sparse-RS: random search over which few values to change, asking only for answers.

Croce et al. 2022, "Sparse-RS: a versatile framework for query-efficient sparse black-box
adversarial attacks", algorithm 1, for single values at either end of their range.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.native.losses import lead
from trust_gates.robustness.native.problem import Hunt, Problem

_FIRST_SHARE = 0.3
"""Of the changed values, how many a proposal exchanges at first."""

_MARKS = (50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries: where that share is halved."""


def search(hunt: Hunt, *, queries: int, restarts: int) -> None:
    """Ask `queries` times about each open sample, from `restarts` random starts."""
    with torch.no_grad():
        for _ in range(restarts):
            _search(hunt, queries)


def _search(hunt: Hunt, queries: int) -> None:
    part = hunt.open
    count = min(int(part.epsilon), part.clean[0].numel()) if len(part) else 0
    if not count:
        return
    chosen, ends = _shuffled(part)[:, :count], _ends(part)
    ahead = torch.full((len(part),), -torch.inf, device=chosen.device)
    proposed, new_ends = chosen, ends
    for query in range(queries):
        change = _only(proposed, new_ends, part)
        logits = part.answers(part.clean + change)
        value = lead(logits, part.labels, part.targets)
        better = (value > ahead)[:, None]
        chosen = torch.where(better, proposed, chosen)
        ends = torch.where(better, new_ends, ends)
        ahead = torch.maximum(value, ahead)
        right = hunt.sieve(part.clean + change, logits)
        part, chosen, ends, ahead = part.take(right), chosen[right], ends[right], ahead[right]
        if not len(part):
            return
        proposed, new_ends = _exchange(part, chosen, ends, query / queries)
    hunt.keep(part.clean + _only(chosen, ends, part))


def _exchange(part: Problem, chosen: Tensor, ends: Tensor, passed: float) -> tuple[Tensor, Tensor]:
    """Some of the changed values for others, each at a random end."""
    halvings = sum(passed * 10_000 > mark for mark in _MARKS)
    some = max(round(_FIRST_SHARE * chosen.shape[1] * 0.5**halvings), 1)
    order = _shuffled(part)
    taken = torch.zeros_like(order, dtype=torch.bool).scatter(1, chosen, True)
    # Free values first, in a random order; where there are too few, the others only turn.
    fresh = order.gather(1, taken.gather(1, order).float().argsort(dim=1, stable=True))
    free = min(some, order.shape[1] - chosen.shape[1])
    proposed = chosen.clone()
    place = torch.randperm(chosen.shape[1], generator=part.generator)[:free].to(chosen.device)
    proposed[:, place] = fresh[:, :free]
    turning = _drawn(part, ends.shape) < some / chosen.shape[1]
    return proposed, torch.where(turning, _ends(part), ends)


def _only(chosen: Tensor, ends: Tensor, part: Problem) -> Tensor:
    """The change that moves nothing but the chosen values."""
    change = torch.zeros_like(ends).scatter(1, chosen, ends.gather(1, chosen))
    return change.reshape(part.clean.shape)


def _ends(part: Problem) -> Tensor:
    """(N, values): how far to a random end of each value's range."""
    low, high = part.low.flatten(1), part.high.flatten(1)
    return torch.where(_drawn(part, low.shape) < 0.5, low, high)


def _shuffled(part: Problem) -> Tensor:
    """(N, values): all values in a random order, those that cannot move last."""
    fixed = (part.high <= part.low).flatten(1)
    return (_drawn(part, fixed.shape) + fixed).argsort(dim=1)


def _drawn(part: Problem, shape: torch.Size) -> Tensor:
    return torch.rand(shape, generator=part.generator).to(part.clean)
