"""What fairness is judged on: rows of group, truth and prediction, made from model and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import SURE, match
from trust_gates.samples import Bools, Boxes, Floats, Ints, Samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """One row a decision; rows of one unit (sample, scene) are not independent of each other."""

    group: Ints
    """(n,): index of the row's finest group, see `groups.Grouping`."""

    truth: Bools
    predicted: Bools
    unit: Ints
    scores: Floats | None = None
    """(n,): how sure the model is of the favorable outcome, from 0 to 1."""

    features: Floats | None = None
    """(n, F): what makes two samples alike; None where distances mean nothing (images)."""

    def __post_init__(self) -> None:
        for name in ("truth", "predicted", "unit", "scores", "features"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.group):
                raise ValueError(f"got {len(column)} {name} for {len(self.group)} rows")
        if self.scores is not None and not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ValueError("got a score outside of [0, 1] or NaN, expected probabilities")

    def __len__(self) -> int:
        return len(self.group)


def of_classifier(
    logits: NDArray[np.float64],
    samples: Samples,
    group: Ints,
    favorable: Sequence[int],
    *,
    alike: bool,
) -> Rows:
    """A row per sample: is its class a favorable one, and is it predicted?

    Distances between inputs say which samples are `alike`, or say nothing.

    A sample with a logit that is not finite counts as rejected with score 0.
    """
    from scipy.special import softmax

    assert samples.labels is not None  # noqa: S101 (only called so)
    finite: Bools = np.asarray(np.isfinite(logits).all(axis=1))
    shares = softmax(np.where(finite[:, None], logits, 0.0), axis=1)[:, list(favorable)].sum(axis=1)
    return Rows(
        group=group,
        truth=np.isin(samples.labels, favorable),
        predicted=np.isin(logits.argmax(axis=1), favorable) & finite,
        unit=np.arange(len(samples)),
        scores=np.where(finite, shares.clip(0, 1), 0.0),
        features=samples.inputs if alike else None,
    )


def of_detector(claims: Sequence[Boxes], samples: Samples, group: Ints) -> Rows:
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
        groups.append(np.full(len(true) + len(absent), group[index]))
        units.append(np.full(len(true) + len(absent), index))
    return Rows(
        group=np.concatenate([np.zeros(0, np.int64), *groups]),
        truth=np.concatenate([np.zeros(0, bool), *truths]),
        predicted=np.concatenate([np.zeros(0, bool), *predictions]),
        unit=np.concatenate([np.zeros(0, np.int64), *units]),
    )
