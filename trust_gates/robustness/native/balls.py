"""Norm balls cut by a box: the nearest point, the steepest step, a random start, a hyperplane.

Everywhere `change` is (N, ...), how far each value has moved, and `low <= 0 <= high` is how far
it may. An immutable value has no room at all: `low == high == 0`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trust_gates.robustness.budget import Norm

_TINY = 1e-12


def size(change: Tensor, norm: Norm) -> Tensor:
    """(N,): the norm of each sample's change."""
    order = {"linf": torch.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
    sizes: Tensor = torch.linalg.vector_norm(change.flatten(1), ord=order, dim=1)
    return sizes


def dual_size(slope: Tensor, norm: Norm) -> Tensor:
    """(N,): how fast a linear function with this slope can change per unit of the norm."""
    duals: dict[Norm, Norm] = {"linf": "l1", "l2": "l2", "l1": "linf"}
    return size(slope, duals[norm])


def direction(gradient: Tensor) -> Tensor:
    """The gradient of each sample at the length 1 in l2, however small it is; 0 stays 0.

    Divided by its largest value first: squares of values below 1e-23 are 0 in float32.
    """
    gradient = gradient / column(_largest(gradient), gradient)
    return gradient / column(size(gradient, "l2").clamp_min(_TINY), gradient)


def _largest(values: Tensor) -> Tensor:
    """(N,): the largest magnitude of each sample's values, never 0: to divide by."""
    return values.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(values.dtype).tiny)


def column(values: Tensor, like: Tensor) -> Tensor:
    """(N,) with ones appended, so that it broadcasts against `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def project(change: Tensor, norm: Norm, radius: float, low: Tensor, high: Tensor) -> Tensor:
    """The change pulled back into ball and box.

    The nearest point for linf and l1 (Croce & Hein 2021, "Mind the box", section 3); for l2
    scaled, then clipped, as AutoAttack does.
    """
    if norm == "linf":
        return change.clamp(-radius, radius).clamp(low, high)
    if norm == "l2":
        share = (radius / size(change, "l2").clamp_min(_TINY)).clamp_max(1)
        return (change * column(share, change)).clamp(low, high)
    wanted = change.flatten(1)
    magnitude = wanted.abs()
    room = torch.where(wanted > 0, high.flatten(1), -low.flatten(1))
    beyond = (magnitude - room).clamp_min(0)
    excess = (magnitude - beyond).sum(dim=1) - radius
    # min(max(|u| - t, 0), room) summed falls in t as sum min(t, |u|) - sum min(t, beyond) rises.
    weights = torch.cat((torch.ones_like(magnitude), -torch.ones_like(magnitude)), dim=1)
    limits = torch.cat((magnitude, beyond), dim=1)
    shift = level(weights, limits, excess.clamp_min(0))[:, None]
    kept = torch.minimum((magnitude - shift).clamp_min(0), room)
    return (wanted.sign() * kept).reshape(change.shape)


def level(weights: Tensor, limits: Tensor, wanted: Tensor) -> Tensor:
    """(N,): the smallest t with sum_i weights_i * min(t, limits_i) = wanted.

    Exact, by sorting the places where the sum bends; it must not fall in t. Where even t =
    infinity is too little, the largest limit.
    """
    limits, order = limits.sort(dim=1)
    weights = weights.gather(1, order)
    slopes = weights.flip(1).cumsum(1).flip(1)  # of the sum just before each bend
    steps = limits.diff(dim=1, prepend=torch.zeros_like(limits[:, :1]))
    heights = (slopes * steps).cumsum(1)
    place = (heights < wanted[:, None]).sum(dim=1).clamp_max(limits.shape[1] - 1)[:, None]
    missing = heights.gather(1, place).squeeze(1) - wanted
    slope = slopes.gather(1, place).squeeze(1)
    end = limits.gather(1, place).squeeze(1)
    back = torch.where(slope > _TINY, missing.clamp_min(0) / slope.clamp_min(_TINY), 0)
    return (end - back).clamp_min(0)


def steepest(gradient: Tensor, norm: Norm, step: float, low: Tensor, high: Tensor) -> Tensor:
    """The change of norm `step` that raises a linear function the most.

    Under l1 it fills the values with the largest gradients, each as far as the box lets it;
    linf and l2 leave the box to `project`.
    """
    if norm == "linf":
        return step * gradient.sign()
    if norm == "l2":
        return step * direction(gradient)
    flat = gradient.flatten(1)
    room = torch.where(flat > 0, high.flatten(1), -low.flatten(1))
    order = flat.abs().argsort(dim=1, descending=True)
    rooms = room.gather(1, order)
    moved = torch.minimum((step - (rooms.cumsum(1) - rooms)).clamp_min(0), rooms)
    return (torch.zeros_like(flat).scatter(1, order, moved) * flat.sign()).reshape(gradient.shape)


def random(like: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """Random changes of norm 1, drawn on the CPU so that every device draws the same."""
    if norm == "linf":
        drawn = torch.rand(like.shape, generator=generator) * 2 - 1
    else:
        drawn = torch.randn(like.shape, generator=generator)
    return (drawn / column(size(drawn, norm).clamp_min(_TINY), drawn)).to(like)


def to_hyperplane(
    normal: Tensor, offset: Tensor, norm: Norm, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """The smallest change with normal . change = offset within the box, and its norm (N,).

    Croce & Hein 2020 (FAB), section 2.2. Where the box does not reach the hyperplane, the point
    of the box nearest to it.
    """
    # What is tiny is so beside the largest slope: a model may scale its answers as it likes.
    largest = _largest(normal)
    normal, offset = normal / column(largest, normal), offset / largest
    flat = normal.flatten(1) * offset.sign()[:, None]
    slope = flat.abs()
    room = torch.where(flat > 0, high.flatten(1), -low.flatten(1))
    wanted = offset.abs()
    if norm == "linf":
        moved = torch.minimum(level(slope, room, wanted)[:, None], room)
    elif norm == "l2":
        reach = torch.where(slope > _TINY, room / slope.clamp_min(_TINY), 0)
        moved = torch.minimum(level(slope.square(), reach, wanted)[:, None], reach) * slope
    else:  # the values with the largest slope first, each as far as it may go
        order = slope.argsort(dim=1, descending=True)
        gains = (slope * room).gather(1, order)
        before = gains.cumsum(1) - gains
        share = ((wanted[:, None] - before) / gains.clamp_min(_TINY)).clamp(0, 1)
        moved = torch.zeros_like(slope).scatter(1, order, share) * room
    change = (flat.sign() * moved).reshape(normal.shape)
    return change, size(change, norm)
