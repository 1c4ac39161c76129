"""How much is still right when images are corrupted without malice?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.robustness.victim import totals
from trust_gates.statistics import resample_weights, resampled
from trust_gates.verdict import Table


def _measure(scene: Scene) -> Found:
    """The share right over all kinds and severities, and over the severities of the worst kind.

    Samples are what is resampled, each with all of its corruptions; the worst kind is looked for
    in each resample anew, so that its choice is part of the interval.
    """
    held = _held(scene)
    total = totals(scene.samples) * len(SEVERITIES)
    by_kind = held.sum(axis=1).astype(np.float64)  # (kinds, samples)
    weights = resample_weights(len(scene.samples), scene.budget.seed)
    whole = np.ones((1, len(scene.samples)))

    def shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            found: NDArray[np.float64] = (counts @ by_kind.T) / (counts @ total)[:, None]
        return found

    now, drawn = shares(whole), shares(weights)
    return Found(
        measures={
            "corruption_accuracy": resampled(
                float(now.mean()), len(scene.samples), drawn.mean(axis=1)
            ),
            "worst_corruption_accuracy": resampled(
                float(now.min()), len(scene.samples), drawn.min(axis=1)
            ),
        },
        tables=(_table(held, totals(scene.samples).sum()),),
    )


def _held(scene: Scene) -> NDArray[np.int64]:
    """(kinds, severities, samples): what is still right of each sample."""
    target, samples = scene.victim.target, scene.samples
    span = target.high - target.low
    images = ((samples.inputs.astype(np.float64) - target.low) / span).clip(0, 1)
    return np.array(
        [
            [
                scene.victim.held(
                    (target.low + span * corrupt(kind, images, severity, scene.budget.seed)).astype(
                        np.float32
                    ),
                    samples,
                )
                for severity in SEVERITIES
            ]
            for kind in CORRUPTIONS
        ]
    )


def _table(held: NDArray[np.int64], total: float) -> Table:
    shares = held.sum(axis=2) / total if total else np.full(held.shape[:2], np.nan)
    return Table(
        title="Share still right under common corruptions (Hendrycks & Dietterich 2019)",
        columns=("corruption", *(f"severity {severity}" for severity in SEVERITIES)),
        rows=[(kind, *map(float, row)) for kind, row in zip(CORRUPTIONS, shares, strict=True)],
    )


CORRUPTION = Figure(
    names=("corruption_accuracy", "worst_corruption_accuracy"),
    measure=_measure,
    tasks=("classification", "detection"),
    norms=("linf", "l2", "l1", "l0"),
)
