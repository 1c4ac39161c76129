"""Square: random search with square-shaped changes, asking only for answers.

Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial attack via
random search"; the l1 version is that of Croce & Hein 2021. Where inputs are feature rows, a
square is a random set of features: neighbours in a row mean nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import lead
from trust_gates.robustness.native.problem import Hunt, Problem

_FIRST_SHARE = 0.8
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries: where the share of values in a square is halved."""

_PATIENCE = 50

Window = tuple[slice | Tensor, ...]
"""What indexes a change (N, ...): a square of every image, or some features of every row."""


def search(hunt: Hunt, *, queries: int, restarts: int) -> None:
    """Ask `queries` times about each open sample, from `restarts` random starts."""
    with torch.no_grad():
        for _ in range(restarts):
            _search(hunt, queries)


def _search(hunt: Hunt, queries: int) -> None:
    part = hunt.open
    if not len(part):
        return
    propose = _flip if part.norm == "linf" else _shift
    start = _stripes(part) if part.norm == "linf" else _tiles(part)
    change = balls.project(start, part.norm, part.epsilon, part.low, part.high)
    proposals, asked = [change], 0
    ahead = torch.full((len(part),), -torch.inf, device=change.device)
    while True:
        asked += len(proposals)
        inputs, logits, value = _best(part, proposals)
        better = value > ahead
        if better.any():  # most squares help nobody
            change = torch.where(balls.column(better, change), inputs - part.clean, change)
            ahead = torch.where(better, value, ahead)
        if not (value <= 0).all():
            right = hunt.sieve(inputs, logits)
            part, change, ahead = part.take(right), change[right], ahead[right]
        if asked >= queries or not len(part):
            break
        # The longer nothing helps, the more squares few samples try at a time.
        copies = min(part.copies(1 + asked // _PATIENCE), queries - asked)
        count = _square_size(asked / queries, change[0].numel())
        proposals = [
            balls.project(
                propose(part, change, count), part.norm, part.epsilon, part.low, part.high
            )
            for _ in range(copies)
        ]
    hunt.keep(part.clean + change)


def _best(part: Problem, proposals: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of several proposed changes the worst for each sample: inputs, logits and lead (N,)."""
    inputs = torch.cat([part.clean + proposed for proposed in proposals])
    logits = part.answers(inputs)
    copies = len(proposals)
    values = lead(logits, part.labels.repeat(copies), part.targets.repeat(copies))
    value, copy = values.reshape(copies, -1).max(dim=0)
    rows = copy * len(part) + torch.arange(len(part), device=copy.device)
    return inputs[rows], logits[rows], value


def _square_size(spent: float, values: int) -> float:
    """How many values the next square holds, after that share of the queries."""
    passed = sum(spent * 10_000 > mark for mark in _HALVINGS)
    return _FIRST_SHARE * values * 0.5**passed


def _window(part: Problem, count: float) -> Window:
    """Some values of every sample: one place for all, as in the authors' code."""
    shape = part.clean.shape
    if len(shape) == 2:
        some = torch.randperm(shape[1], generator=part.generator)[: max(round(count), 1)]
        return (slice(None), some.to(part.clean.device))
    side = min(max(round(math.sqrt(count / shape[1])), 1), *shape[2:])
    places = [
        int(torch.randint(0, length - side + 1, (1,), generator=part.generator))
        for length in shape[2:]
    ]
    return (slice(None), slice(None), *(slice(place, place + side) for place in places))


def _signs(part: Problem, *shape: int) -> Tensor:
    """-1 or 1, each as likely."""
    return (torch.randint(0, 2, shape, generator=part.generator) * 2 - 1).to(part.clean)


def _signs_of(part: Problem, window: Tensor) -> Tensor:
    """One a channel of each image's window, or one a feature of each row's."""
    return _signs(part, *window.shape[:2], *[1] * (window.ndim - 2))


def _stripes(part: Problem) -> Tensor:
    """linf: vertical stripes of the full size; of a row, every feature for itself."""
    shape = list(part.clean.shape)
    if len(shape) == 4:
        shape[2] = 1
    return (part.epsilon * _signs(part, *shape)).expand(part.clean.shape)


def _flip(part: Problem, change: Tensor, count: float) -> Tensor:
    """linf: one window moved by the full size, up or down."""
    window, new = _window(part, count), change.clone()
    new[window] = part.epsilon * _signs_of(part, new[window])
    return new


def _tiles(part: Problem) -> Tensor:
    """l2, l1: bumps in a grid all over the image; of a row, random signs."""
    change = torch.zeros_like(part.clean)
    if change.ndim == 2:
        return _full(part, _signs(part, *change.shape))
    side = max(min(change.shape[2:]) // 5, 1)
    for top in range(0, change.shape[2] - side + 1, side):
        for left in range(0, change.shape[3] - side + 1, side):
            tile = change[:, :, top : top + side, left : left + side]
            tile += _bump(part, tile)
    return _full(part, change)


def _shift(part: Problem, change: Tensor, count: float) -> Tensor:
    """l2, l1: what one window has of the budget, and what is unused, goes to another window."""
    to, source, rest = _window(part, count), _window(part, count), change.clone()
    old = change[to]
    bump = _unit(part, _unit(part, _bump(part, old)) + _unit(part, old))
    rest[to], rest[source] = 0, 0
    power = 2 if part.norm == "l2" else 1
    free = (part.epsilon**power - balls.size(rest, part.norm) ** power).clamp_min(0)
    rest[to] = bump * balls.column(free ** (1 / power), bump)
    return _full(part, rest)


def _bump(part: Problem, like: Tensor) -> Tensor:
    """Two hills side by side, one up and one down (section 3.3), of a random sign a channel."""
    signs = _signs_of(part, like)
    if like.ndim == 2:
        return signs
    side = like.shape[2]
    halves = [_hill(side // 2, side), -_hill(side - side // 2, side)]
    bump = torch.cat(halves)
    if int(torch.randint(0, 2, (1,), generator=part.generator)):
        bump = bump.T
    return signs * bump.to(like)


def _hill(height: int, width: int) -> Tensor:
    """(height, width): nested rectangles, each lower by one over the square of its distance."""
    down = (torch.arange(height) - (height - 1) / 2).abs()
    across = (torch.arange(width) - (width - 1) / 2).abs()
    distance = torch.maximum(down[:, None], across[None, :]).floor().long()
    steps = 1 / torch.arange(1, max(height, width) + 1).square()
    return steps.flip(0).cumsum(0).flip(0)[distance]


def _unit(part: Problem, change: Tensor) -> Tensor:
    return change / balls.column(balls.size(change, part.norm).clamp_min(1e-12), change)


def _full(part: Problem, change: Tensor) -> Tensor:
    return part.epsilon * _unit(part, change)
