"""CLEVER: how far can no attack come, by the steepest slope around the sample?

Weng et al. 2018, "Evaluating the robustness of neural networks: an extreme value theory
approach", algorithm 1: slopes of a class's lead are sampled in a ball, the largest of each batch
follow a reverse Weibull distribution, and its end is the local Lipschitz constant.

Unlike ART's `clever`, one forward pass serves every class aimed at, and the end is looked for
within a bounded reach of the largest slope seen: ART's fit of three parameters at once sometimes
runs away to a constant without bound, and the score to zero.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trust_gates.robustness.budget import Norm
from trust_gates.robustness.native import balls
from trust_gates.robustness.native.problem import Problem

_VALUES_AT_ONCE = 2**22
_GAPS = np.geomspace(1e-3, 0.1, 20)
"""Where the end is looked for beyond the largest maximum, in units of the maxima's spread.

Maxima that share a pool repeat its largest slopes, which leaves the likelihood almost flat in the
end: ART's fit stops beside the largest slope or never. A tenth of the spread keeps to the former.
"""

_SHAPES = np.geomspace(1, 20, 25)
"""Of the Weibull distribution; below 1 the likelihood has no bound."""

Floats = NDArray[np.float64]


def slopes(part: Problem, row: int, targets: Tensor, *, points: int, radius: float) -> Floats:
    """(points, T): the dual norms of the slopes of the leads of `targets` (T,) around one sample.

    Points are uniform in the ball of `radius` around it, then clipped to the attacker's room.
    """
    at_once = max(_VALUES_AT_ONCE // (part.clean[0].numel() * len(targets)), 1)
    found = []
    for start in range(0, points, at_once):
        count = min(at_once, points - start)
        copies = part.take(torch.full((count,), row, device=part.clean.device))
        change = radius * uniform(copies.clean, part.norm, part.generator)
        inputs = copies.clean + change.clamp(copies.low, copies.high)
        _, _, steep = copies.leads(inputs, targets.expand(count, -1))
        sizes = balls.dual_size(steep.flatten(0, 1), part.norm)
        found.append(sizes.reshape(count, -1).cpu().numpy().astype(np.float64))
    return np.concatenate(found)


def uniform(like: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """Points uniform in the unit ball, drawn on the CPU so that every device draws the same.

    For l1 by exponential spacings, for l2 by a normal direction (Calafiore et al. 1998, "Uniform
    sample generation in lp balls").
    """
    shape = (len(like), like[0].numel())
    if norm == "linf":
        drawn = torch.rand(shape, generator=generator) * 2 - 1
    else:
        drawn = torch.randn(shape, generator=generator)
        if norm == "l1":
            sizes = -torch.rand(shape, generator=generator).clamp_min(1e-12).log()
            drawn = drawn.sign() * sizes
        reach = torch.rand(len(like), generator=generator) ** (1 / shape[1])
        drawn = drawn * (reach / balls.size(drawn, norm))[:, None]
    return drawn.reshape(like.shape).to(like)


def batch_maxima(slopes: Floats, *, batches: int, size: int, seed: int) -> Floats:
    """(batches, T): the largest of `size` slopes drawn from the pool (points, T), again and again.

    A pool that is drawn from with replacement is ART's way to save gradients.
    """
    drawn = np.random.default_rng(seed).integers(len(slopes), size=(batches, size))
    maxima: Floats = slopes[drawn].max(axis=1)
    return maxima


def weibull_end(maxima: Floats) -> Floats:
    """(F,): the likeliest end of the reverse Weibull distribution of each column of (batches, F).

    The likelihood over a grid of ends and shapes, the scale in closed form: it cannot run away.
    Where all maxima are equal (a linear model) the end is that value.
    """
    with np.errstate(invalid="ignore"):  # slopes that are no numbers give an end that is none
        return _ends(maxima)


def _ends(maxima: Floats) -> Floats:
    top = maxima.max(axis=0)
    spread = top - maxima.min(axis=0)
    flat = spread <= 1e-6 * np.abs(top)
    unit = np.where(flat, 1.0, spread)
    below = (top - maxima) / unit  # (batches, F), in units of the spread
    ends = np.empty(len(top))
    for column in range(len(top)):
        logs = np.log(_GAPS[:, None] + below[:, column])  # (gaps, batches)
        mean_log = logs.mean(axis=1)[:, None]
        powers = np.exp(_SHAPES[None, :, None] * logs[:, None, :]).mean(axis=2)
        likelihood = np.log(_SHAPES) - np.log(powers) + (_SHAPES - 1) * mean_log
        gap = _GAPS[np.unravel_index(likelihood.argmax(), likelihood.shape)[0]]
        ends[column] = top[column] + gap * unit[column]
    return np.where(flat, top, ends)
