"""A model under attack: how much of each sample it still gets right, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import SURE, overlaps, recalled_surely
from trust_gates.robustness.budget import Budget
from trust_gates.samples import Boxes, Samples, Task
from trust_gates.target import Target

Inputs = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Victim:
    """A target with its ART estimators; the same for classifiers and detectors.

    The estimators are made when first asked for: native attacks need no ART.
    """

    target: Target
    shape: tuple[int, ...]
    """Of one input."""

    classes: int
    detection: bool

    @classmethod
    def of(cls, target: Target, samples: Samples) -> Victim:
        """`target` under attack with inputs like those of `samples`."""
        return cls(
            target=target,
            shape=samples.inputs.shape[1:],
            classes=len(samples.classes),
            detection=samples.detection,
        )

    @cached_property
    def estimator(self) -> Any:
        """What ART's attacks work on."""
        from trust_gates.robustness import estimators

        if self.detection:
            return estimators.DetectorEstimator(self.target, self.shape)
        return estimators.classifier(self.target, self.classes, self.shape)

    @cached_property
    def black_box(self) -> Any:
        """The same for attacks that only ask: a detector remembers what it was asked lately."""
        from trust_gates.robustness import estimators

        if self.detection:
            return estimators.RememberingDetector(self.target, self.shape)
        return self.estimator

    @property
    def task(self) -> Task:
        """As attacks name it."""
        return "detection" if self.detection else "classification"

    @property
    def limits(self) -> tuple[Inputs, Inputs]:
        """The lowest and highest value (...) of each value of an input."""
        reach = self.target.reach
        low, high = (reach.low, reach.high) if reach else (self.target.low, self.target.high)
        return (
            np.broadcast_to(np.float32(low), self.shape),
            np.broadcast_to(np.float32(high), self.shape),
        )

    def pursued(self, budget: Budget) -> Target:
        """The target with the gradient that attacks of this budget follow.

        Of a model that is made of steps it is averaged over changes that spend the budget evenly.
        """
        if self.target.averaged is None:
            return self.target
        predict = self.target.averaged(self.evenly(budget), budget.seed)
        return replace(self.target, predict=predict)

    def evenly(self, budget: Budget) -> Inputs:
        """(...): how far each value moves where the budget is spent on all alike; 0 on what an
        attacker cannot change."""
        low, high = self.limits
        free = high > low
        if self.target.reach is not None:
            free = free & ~np.broadcast_to(self.target.reach.immutable, self.shape)
        count = max(int(np.count_nonzero(free)), 1)
        whole = (high - low).astype(np.float32)
        evenly = {"linf": 1.0, "l2": count**-0.5, "l1": 1 / count}
        if budget.norm == "l0":
            each = whole / 2
        else:
            each = np.minimum(np.float32(budget.epsilon * evenly[budget.norm]), whole)
        sizes: Inputs = np.where(free, each, 0).astype(np.float32)
        return sizes

    def room(self, inputs: Inputs) -> tuple[Inputs, Inputs]:
        """The lowest and highest values (N, ...) that an attacker can give each input."""
        if self.target.reach is None:
            low, high = self.limits
            return np.broadcast_to(low, inputs.shape), np.broadcast_to(high, inputs.shape)
        return self.target.reach.around(inputs)

    def held(self, inputs: Inputs, samples: Samples) -> NDArray[np.int64]:
        """(N,): how many objects are still found, or whether (1, 0) the class is still right.

        Where a rule stands behind the network, its answer must be right as well as the network's:
        attacks follow the network's gradient, and what is served is never said to hold more.
        """
        if not len(inputs):
            return np.zeros(0, dtype=np.int64)
        if samples.objects is not None:
            return recalled_surely(self.target.claims(inputs), samples.objects)
        logits = self.target.logits(inputs)
        right = (logits.argmax(axis=1) == samples.labels) & np.isfinite(logits).all(axis=1)
        if self.target.serve is not None:
            served = self.target.answers(replace(samples, inputs=inputs))
            right &= served.argmax(axis=1) == samples.labels
        return np.asarray(right, dtype=np.int64)

    def told(self, samples: Samples) -> Any:
        """A detector's own sure claims in ART's form: what its loss is asked about.

        The loss is the model's code, and a host remembers: boxes that it is given as the truth
        could become its answers. What an attack takes away is what was claimed before.
        """
        from trust_gates.robustness.estimators import as_labels

        return as_labels([one.above(SURE) for one in self.target.claims(samples.inputs)])

    def truth(self, samples: Samples) -> Any:
        """The labels in ART's form."""
        if samples.objects is not None:
            from trust_gates.robustness.estimators import as_labels

            return as_labels(samples.objects)
        assert samples.labels is not None  # noqa: S101 (Samples has one of the two)
        return np.eye(len(samples.classes), dtype=np.float32)[samples.labels]


def totals(samples: Samples) -> NDArray[np.int64]:
    """(N,): the most that can be held of each sample."""
    if samples.objects is None:
        return np.ones(len(samples), dtype=np.int64)
    return np.array([len(image) for image in samples.objects], dtype=np.int64)


def certainty(claims: Boxes, truth: Boxes) -> float:
    """How surely the objects are found: what a black-box attack on a detector pushes down.

    Per object the best of score x overlap over claims of its class, summed: it falls both when
    a score falls and when a box slides off, long before an object is lost.
    """
    if not len(claims) or not len(truth) or claims.scores is None:
        return 0.0
    worth = overlaps(claims.boxes, truth.boxes) * claims.scores[:, None]
    worth[claims.labels[:, None] != truth.labels[None, :]] = 0.0
    return float(worth.max(axis=0).sum())
