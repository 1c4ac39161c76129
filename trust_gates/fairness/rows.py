"""What fairness is judged on: rows of group, truth and prediction, made from model and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import SURE, match
from trust_gates.samples import Bools, Boxes, Samples
from trust_gates.target import Target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """One row a decision; rows of one unit (sample, scene) are not independent of each other."""

    privileged: Bools
    truth: Bools
    predicted: Bools
    unit: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.unit)


def of_classifier(target: Target, samples: Samples, privileged: Bools, favorable: int) -> Rows:
    """A row per sample: is its class the favorable one, and is it predicted?"""
    logits = target.logits(samples.inputs)
    predicted = (logits.argmax(axis=1) == favorable) & np.isfinite(logits).all(axis=1)
    return Rows(
        privileged=privileged,
        truth=np.asarray(samples.labels == favorable),
        predicted=predicted,
        unit=np.arange(len(samples)),
    )


def of_detector(claims: Sequence[Boxes], samples: Samples, privileged: Bools) -> Rows:
    """Rows of two kinds, so that rates of misses and of false alarms both mean something.

    Each true object: favorable in truth, favorable as predicted when it was found. Each class
    absent from the scene: unfavorable in truth, favorable as predicted when the detector claims
    to see one. Rates over the first kind (equal opportunity, false negatives) are exactly those
    of objects found or missed.
    """
    assert samples.objects is not None  # noqa: S101 (only called so)
    groups, truths, predictions, units = [], [], [], []
    for index, (claim, true) in enumerate(zip(claims, samples.objects, strict=True)):
        sure = claim.above(SURE)
        absent = np.setdiff1d(np.arange(len(samples.classes)), true.labels)
        predictions.append(np.concatenate([match(sure, true).found, np.isin(absent, sure.labels)]))
        truths.append(np.repeat([True, False], [len(true), len(absent)]))
        groups.append(np.full(len(true) + len(absent), privileged[index]))
        units.append(np.full(len(true) + len(absent), index))
    return Rows(
        privileged=np.concatenate([np.zeros(0, bool), *groups]),
        truth=np.concatenate([np.zeros(0, bool), *truths]),
        predicted=np.concatenate([np.zeros(0, bool), *predictions]),
        unit=np.concatenate([np.zeros(0, np.int64), *units]),
    )
