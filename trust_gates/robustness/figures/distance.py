"""How far is the nearest wrong input?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.png import png
from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.statistics import Measure, mean, median, missing, resample_weights
from trust_gates.verdict import Table

_STEPS = 50
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Distances = NDArray[np.float64]
"""(N,): 0 where the model is wrong already, infinite where no wrong input was found."""


def _measure(scene: Scene) -> Found:
    """The median of the distances, and their mean as a part of the inputs' own norms.

    The latter is the empirical robustness of Moosavi-Dezfooli et al. 2016, section 2. Unlike ART's
    `empirical_robustness` it counts every sample: 0 where the model is wrong already, and the
    farthest that an attacker can go at all where no wrong input was found.
    """
    found, inputs = distances(scene), scene.samples.inputs.astype(np.float64)
    lower, upper = scene.victim.room(scene.samples.inputs)
    seen = inputs if scene.seen is None else scene.seen.astype(np.float64)
    counted = np.minimum(found, _norms(np.maximum(upper - inputs, inputs - lower), scene))
    return Found(
        measures={
            "minimal_perturbation": median(counted),
            "empirical_robustness": _relative(scene, counted, _norms(seen, scene)),
        },
        tables=(_table(scene, found),),
        pictures={"robustness-distances": _picture(scene, found)},
        captions={
            "robustness-distances": (
                "The share of samples for which a wrong input is known within each distance."
            )
        },
    )


def distances(scene: Scene) -> Distances:
    """To the nearest wrong input known: what FAB finds, or one that broke the sample before."""
    from trust_gates.robustness.native import balls, fab
    from trust_gates.robustness.native.problem import TARGETS, Problem

    target, parts = scene.victim.target, []
    for problem in Problem.batches(scene.victim, scene.samples, scene.budget):
        part = replace(problem, epsilon=0.0)  # near enough never is: each step may come nearer
        nearest = np.full(len(part), np.inf)
        for targets in part.runners_up(TARGETS).T:
            aimed = replace(part, targets=targets)
            _, apart = fab.minimize(aimed, steps=_STEPS, random=False)
            nearest = np.minimum(nearest, apart.cpu().numpy().astype(np.float64))
        parts.append(nearest)
    known = np.concatenate(parts)
    change = target.tensor(scene.attacked.inputs) - target.tensor(scene.samples.inputs)
    sizes = balls.size(change, scene.budget.norm).cpu().numpy().astype(np.float64)
    return np.where(scene.attacked.held > 0, known, np.minimum(known, sizes))


def _relative(scene: Scene, found: Distances, norms: Distances) -> Measure:
    if not norms.all():
        return missing("an input is zero throughout, so no change is small beside it")
    return mean(found / norms, resample_weights(len(found), scene.budget.seed))


def _norms(values: NDArray[np.float64], scene: Scene) -> NDArray[np.float64]:
    flat = values.reshape(len(values), -1)
    norms: NDArray[np.float64] = np.linalg.norm(flat, ord=scene.budget.art_norm, axis=1)
    return norms


def _table(scene: Scene, found: Distances) -> Table:
    places = np.quantile(found, _QUANTILES, method="higher")
    rows = [
        (f"{share:.0%}", None if np.isinf(place) else float(place))
        for share, place in zip(_QUANTILES, places, strict=True)
    ]
    none = int(np.isinf(found).sum())
    return Table(
        title=f"Distance to the nearest wrong input known ({scene.budget.norm}, "
        f"{len(found)} samples, {none} without any)",
        columns=("share of samples that is nearer", "distance"),
        rows=rows,
    )


def _picture(scene: Scene, found: Distances) -> bytes:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(6, 3.2), layout="constrained")
    axes = canvas.add_subplot()
    ordered = np.sort(found[np.isfinite(found)])
    axes.step(
        ordered, np.arange(1, len(ordered) + 1) / len(found), where="post", color=palette.MEASURED
    )
    axes.axvline(scene.budget.epsilon, color="black", linestyle=":", label="policy")
    axes.set(
        xlabel=f"distance ({scene.budget.norm})",
        ylabel="share of samples broken",
        ylim=(-0.03, 1.03),
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png(canvas)


DISTANCE = Figure(
    names=("minimal_perturbation", "empirical_robustness"),
    measure=_measure,
    tasks=("classification", "regression"),
)
