"""Quality gate: does the model do its task well enough on samples it has never seen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trust_gates.matching import PrecisionTable, recalled_surely
from trust_gates.samples import Samples
from trust_gates.statistics import (
    RESAMPLES,
    Measure,
    Requirement,
    decide,
    proportion,
    resample_weights,
    resampled,
)
from trust_gates.target import Target
from trust_gates.verdict import Evidence

GATE = "quality"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the model must reach."""

    requirements: Sequence[Requirement]
    confidence: float = 0.95
    seed: int = 0


def judge(target: Target, samples: Samples, policy: Policy) -> Evidence:
    """Measure on all samples and decide.

    Metrics: `accuracy`, `balanced_accuracy` for classifiers; `map50`, `recall` for detectors.

    Raises:
        ValueError: the policy names an unknown metric.
    """
    if samples.objects is None:
        measures = _classification(target, samples, policy.seed)
    else:
        measures = _detection(target, samples, policy.seed)
    return Evidence(
        gate=GATE,
        checks=decide(GATE, measures, policy.requirements, confidence=policy.confidence),
        figures={name: measure.value for name, measure in measures.items()},
    )


def _classification(target: Target, samples: Samples, seed: int) -> dict[str, Measure]:
    if not len(samples):
        return {name: proportion(0, 0) for name in ("accuracy", "balanced_accuracy")}
    logits = target.answers(samples)
    right = (logits.argmax(axis=1) == samples.labels) & np.isfinite(logits).all(axis=1)
    generator = np.random.default_rng(seed)
    recalls, draws = [], []
    for label in np.unique(np.asarray(samples.labels)):
        of_class = right[samples.labels == label]
        recalls.append(of_class.mean())
        draws.append(generator.binomial(len(of_class), of_class.mean(), RESAMPLES) / len(of_class))
    return {
        "accuracy": proportion(int(right.sum()), len(samples)),
        "balanced_accuracy": resampled(
            float(np.mean(recalls)), len(samples), np.mean(draws, axis=0)
        ),
    }


def _detection(target: Target, samples: Samples, seed: int) -> dict[str, Measure]:
    assert samples.objects is not None  # noqa: S101 (only called so)
    claims = target.claims(samples.inputs)
    # Objects of one image are found or missed together: images are what is resampled.
    weights = resample_weights(len(samples), seed)
    table = PrecisionTable.of(claims, samples.objects, len(samples.classes))
    objects = table.objects.sum(axis=1)
    found = recalled_surely(claims, samples.objects)
    with np.errstate(invalid="ignore"):
        recall = float(np.float64(found.sum()) / objects.sum())
        recalls = (weights @ found) / (weights @ objects)
    precision = float(table.map50(np.ones((1, len(samples))))[0])
    return {
        "map50": resampled(precision, len(samples), table.map50(weights)),
        "recall": resampled(recall, len(samples), recalls),
    }
