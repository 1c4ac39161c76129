"""CLEVER: within what distance can probably no attack succeed?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness.budget import Budget
from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import mean, resample_weights
from trust_gates.verdict import Table
from trust_gates.written import number

Floats = NDArray[np.float64]

_SAMPLES = 48
"""Most samples that are scored."""

_FACTOR = 4.0
"""The ball that is searched, in units of epsilon; no score exceeds it."""

_GROUPS = 5
"""Parts of the pool; leaving each out in turn shows how far a score depends on its points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard the slopes are looked for; the defaults are ART's usual ones."""

    batches: int = 50
    size: int = 100
    pool: int = 10
    """Points in units of `size`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """(N, T) each: 0 where the model is wrong already, at most the radius."""

    score: Floats
    error: Floats
    """The jackknife's standard error over the parts of the pool."""

    targets: NDArray[np.int64]
    """The classes aimed at: the likeliest wrong ones, and last the least likely of all."""


def scores(
    victim: Victim, samples: Samples, budget: Budget, *, radius: float, effort: Effort
) -> Scores:
    """The score of each sample towards each class aimed at (Weng et al. 2018)."""
    from trust_gates.robustness.native import clever
    from trust_gates.robustness.native.problem import TARGETS, Problem

    found, errors, aimed = [], [], []
    for part in Problem.batches(victim, samples, budget):
        ranked = part.runners_up(victim.classes)
        last = ranked.shape[1] - 1
        targets = ranked[:, [*range(min(TARGETS, last)), last]]
        _, leads, _ = part.leads(part.clean, targets)
        margins = (-leads).clamp_min(0).cpu().numpy().astype(np.float64)
        for row in range(len(part)):
            slopes = clever.slopes(
                part, row, targets[row], points=effort.pool * effort.size, radius=radius
            )
            # A sample that is wrong already has one lead above 0, and no distance at all.
            margin = margins[row] if margins[row].all() else np.zeros_like(margins[row])
            score, error = _scored(slopes, margin, radius, effort, budget.seed)
            found.append(score)
            errors.append(error)
        aimed.append(targets.cpu().numpy())
    return Scores(score=np.array(found), error=np.array(errors), targets=np.concatenate(aimed))


def _scored(slopes: Floats, margins: Floats, radius: float, effort: Effort, seed: int) -> Floats:
    """(2, T): the scores, and how unsure the pool of `slopes` (points, T) leaves them."""
    from trust_gates.robustness.native import clever

    pools = [slopes, *(np.delete(slopes, part, axis=0) for part in _parts(len(slopes)))]
    maxima = [
        clever.batch_maxima(pool, batches=effort.batches, size=effort.size, seed=seed)
        for pool in pools
    ]
    ends = clever.weibull_end(np.concatenate(maxima, axis=1)).reshape(len(pools), -1)
    # Without any slope nothing nearer is known; a slope that is not a number leaves none itself.
    far = np.divide(margins, ends, out=np.full_like(ends, radius), where=ends != 0)
    every = np.minimum(far, radius)
    without = every[1:]
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return np.array([every[0], np.sqrt(spread * (_GROUPS - 1) / _GROUPS)])


def _parts(points: int) -> list[NDArray[np.int64]]:
    return [np.arange(group, points, _GROUPS) for group in range(_GROUPS)]


def _measure(scene: Scene) -> Found:
    """The mean scores: towards the nearest class, and towards the least likely one.

    One score is unstable (its points are few), but errors of independent scores are part of the
    spread between samples, which is what the interval of their mean is made of. The table shows
    how far each score of its own can be trusted.
    """
    samples = scene.samples.take(np.arange(min(len(scene.samples), _SAMPLES)))
    radius = _FACTOR * scene.budget.epsilon
    found = scores(scene.victim, samples, scene.budget, radius=radius, effort=Effort())
    weights = resample_weights(len(samples), scene.budget.seed)
    return Found(
        measures={
            "clever_untargeted": mean(found.score.min(axis=1), weights),
            "clever_targeted": mean(found.score[:, -1], weights),
        },
        tables=(_table(found, samples, radius),),
    )


def _table(found: Scores, samples: Samples, radius: float) -> Table:
    rows = []
    for index, (scores, errors) in enumerate(zip(found.score, found.error, strict=True)):
        nearest = int(scores.argmin())
        label = samples.classes[found.targets[index, nearest]]
        score, error = float(scores[nearest]), float(errors[nearest])
        rows.append(
            (index, label, score, max(score - 2 * error, 0.0), min(score + 2 * error, radius))
        )
    return Table(
        title=f"CLEVER scores (at most {number(radius)}, the ball searched); bounds are "
        "two standard errors over the points drawn",
        columns=("sample", "nearest class", "score", "from", "to"),
        rows=rows,
    )


CLEVER = Figure(names=("clever_untargeted", "clever_targeted"), measure=_measure, of_slopes=True)
