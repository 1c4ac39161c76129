"""HopSkipJump: walk along the border, knowing only which class the model decides for.

Chen, Jordan & Wainwright 2020, "HopSkipJumpAttack: a query-efficient decision-based attack",
algorithm 2. All samples of a batch walk together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.problem import Hunt, Problem

_FIRST_PROBES = 50
_STARTS = 20
_HALVINGS = 12
_SHRINKS = 10
_NEAR = 0.01


def walk(hunt: Hunt, *, queries: int, restarts: int) -> None:
    """Ask about `queries` times about each open sample; end within the budget or give up."""
    with torch.no_grad():
        for _ in range(restarts):
            part = hunt.open
            if not len(part):
                return
            change = _walk(part, queries)
            inputs = part.clean + change
            hunt.sieve(inputs, part.answers(inputs))


def _walk(part: Problem, queries: int) -> Tensor:
    """Changes (N, ...) within the budget that break; zeros where there is none."""
    result = torch.zeros_like(part.clean)
    change, wrong = _start(part)
    rows = wrong.nonzero().squeeze(1)
    part, change = part.take(rows), change[rows]
    spent, hop = _STARTS, 0
    while len(part):
        change, hop = _to_border(part, change), hop + 1
        near = balls.size(change, part.norm) <= part.epsilon
        result[rows[near]] = change[near]
        far = ~near
        part, change, rows = part.take(far), change[far], rows[far]
        probes = round(_FIRST_PROBES * math.sqrt(hop))
        spent += probes + _HALVINGS + _SHRINKS
        if spent > queries or not len(part):
            break
        change = _hop(part, change, hop, probes)
    return result


def _start(part: Problem) -> tuple[Tensor, Tensor]:
    """A wrong input for each sample, anywhere: other samples of the batch, then noise."""
    change, wrong = torch.zeros_like(part.clean), part.labels < 0
    for attempt in range(_STARTS):
        if attempt < _STARTS // 2:
            proposed = part.clean.roll(attempt + 1, dims=0) - part.clean
        else:
            drawn = torch.rand(part.clean.shape, generator=part.generator).to(part.clean)
            proposed = part.low + drawn * (part.high - part.low)
        proposed = proposed.clamp(part.low, part.high)
        new = _breaks(part, proposed) & ~wrong
        change[new] = proposed[new]
        wrong |= new
    return change, wrong


def _to_border(part: Problem, change: Tensor) -> Tensor:
    """The smallest part of a breaking change that still breaks, by halving."""
    low, high = torch.zeros(len(part)).to(change), torch.ones(len(part)).to(change)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        breaks = _breaks(part, _shrunk(part, change, middle))
        low, high = torch.where(breaks, low, middle), torch.where(breaks, middle, high)
    return _shrunk(part, change, high)


def _shrunk(part: Problem, change: Tensor, share: Tensor) -> Tensor:
    """Towards the clean input: along the line, or under linf by cutting off the largest."""
    if part.norm == "l2":
        return change * balls.column(share, change)
    limit = balls.column(share * balls.size(change, "linf"), change)
    return change.clamp(-limit, limit)


def _hop(part: Problem, change: Tensor, hop: int, probes: int) -> Tensor:
    """A step away from the border, as long as it still breaks."""
    distance = balls.size(change, part.norm)
    # So near that the border looks straight; at first anywhere in the box may do.
    near, wide = _NEAR * balls.size(change, "l2"), 0.1 * (part.high - part.low).flatten(1).amax(1)
    probe = near if hop > 1 else wide
    direction = _normal(part, change, probe, probes)
    if part.norm == "linf":
        direction = direction.sign()
    length, longer = distance / math.sqrt(hop), change
    unbroken = torch.ones(len(part), dtype=torch.bool, device=change.device)
    for _ in range(_SHRINKS):
        step = balls.column(length, change) * direction
        proposed = (change + step).clamp(part.low, part.high)
        breaks = _breaks(part, proposed) & unbroken
        longer = torch.where(balls.column(breaks, change), proposed, longer)
        unbroken, length = unbroken & ~breaks, length / 2
    return longer


def _normal(part: Problem, change: Tensor, probe: Tensor, probes: int) -> Tensor:
    """(N, ...): the border's normal at the changed inputs, estimated by probes (section 3.2)."""
    drawn_sum, signed_sum = torch.zeros_like(change), torch.zeros_like(change)
    signs = torch.zeros(len(part)).to(change)
    left, whole = probes, torch.arange(len(part), device=change.device)
    while left:
        count = part.copies(left)
        again = whole.repeat(count)
        copies = part.take(again)
        drawn = torch.randn(copies.clean.shape, generator=part.generator).to(change)
        drawn = torch.where(copies.high > copies.low, drawn, 0)
        drawn = drawn / balls.column(balls.size(drawn, "l2").clamp_min(1e-12), drawn)
        away = balls.column(probe[again], drawn) * drawn
        moved = (change[again] + away).clamp(copies.low, copies.high)
        sign = torch.where(_breaks(copies, moved), 1.0, -1.0)
        drawn_sum += drawn.reshape(count, *change.shape).sum(dim=0)
        signed_sum += (balls.column(sign, drawn) * drawn).reshape(count, *change.shape).sum(dim=0)
        signs += sign.reshape(count, -1).sum(dim=0)
        left -= count
    mean = balls.column(signs / probes, change)
    # All of one sign say nothing about the variance: then their plain mean is the direction.
    normal = torch.where(mean.abs() == 1, signed_sum, signed_sum - mean * drawn_sum)
    return normal / balls.column(balls.size(normal, "l2").clamp_min(1e-12), normal)


def _breaks(part: Problem, change: Tensor) -> Tensor:
    """(N,): whether the model decides wrongly; an answer that is not finite is wrong."""
    logits = part.answers(part.clean + change)
    return (logits.argmax(dim=1) != part.labels) | ~logits.isfinite().all(dim=1)
