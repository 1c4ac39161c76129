"""A classifier's figures, each for any weights of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trust_gates.quality import calibration
from trust_gates.samples import Bools, Ints, Samples

Array = NDArray[np.float64]

_LEAST = 1e-12
"""Probabilities below it count as this much: one impossible event must not hide the rest."""

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a classifier said about N labelled samples."""

    probabilities: Array
    """(N, K)."""

    predicted: Ints
    """(N,): -1 where the answer is no number."""

    labels: Ints

    @classmethod
    def of(cls, logits: Array, samples: Samples) -> Answers:
        """The answers that logits (N, K) mean."""
        from scipy.special import softmax

        finite = np.asarray(np.isfinite(logits).all(axis=1))
        probabilities = np.full(logits.shape, np.nan)
        probabilities[finite] = softmax(logits[finite], axis=1)
        return cls(
            probabilities=probabilities,
            predicted=np.where(finite, np.where(finite[:, None], logits, 0).argmax(axis=1), -1),
            labels=np.asarray(samples.labels),
        )

    @property
    def kinds(self) -> tuple[Answers, Ints]:
        """One of all answers that say the same about the same class, and how many there are."""
        said = np.column_stack([self.probabilities, self.predicted, self.labels])
        _, first, sizes = np.unique(said, axis=0, return_index=True, return_counts=True)
        some = Answers(
            probabilities=self.probabilities[first],
            predicted=self.predicted[first],
            labels=self.labels[first],
        )
        return some, sizes

    @property
    def right(self) -> Bools:
        """(N,): whether the class is the true one."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> Array:
        """(N,): the probability of the predicted class."""
        confidence: Array = self.probabilities.max(axis=1)
        return confidence

    def figures(self, weights: Array) -> dict[str, Array]:
        """`balanced_accuracy`, `f1_macro`, `auc`, `log_loss`, `brier`, `ece`, each (R,).

        As scikit-learn has them: means over classes leave out a class of which a resample has no
        sample, but `f1_macro` counts one that was claimed, as 0. A NaN among the answers makes
        every figure of probabilities NaN, which never passes.
        """
        rows, classes = np.arange(len(self.labels)), self.probabilities.shape[1]
        truth = np.eye(classes)[self.labels]
        told = (self.predicted[:, None] == np.arange(classes)).astype(float)
        total = weights.sum(axis=1)
        hits, true, claimed = weights @ (truth * told), weights @ truth, weights @ told
        own = self.probabilities[rows, self.labels]
        surprise = -np.log(np.maximum(own, _LEAST))
        distance = ((self.probabilities - truth) ** 2).sum(axis=1)
        unit = np.arange(len(rows))
        return {
            "balanced_accuracy": _mean(_ratio(hits, true), true > 0),
            "f1_macro": _mean(_ratio(2 * hits, true + claimed), true + claimed > 0),
            "auc": _auc(self.probabilities, truth.astype(bool), weights),
            "log_loss": weights @ surprise / total,
            "brier": weights @ distance / total,
            "ece": calibration.error(weights, self.confidence, self.right, unit),
        }


def _ratio(part: Array, whole: Array) -> Array:
    ratio: Array = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _mean(per_class: Array, defined: Bools) -> Array:
    """(R,) of (R, K), over the classes that are defined."""
    total = np.where(defined, per_class, 0.0).sum(axis=1)
    mean: Array = np.divide(
        total, defined.sum(axis=1), out=np.full(len(total), np.nan), where=defined.any(axis=1)
    )
    return mean


def _auc(scores: Array, truth: Bools, weights: Array) -> Array:
    """(R,): the mean over classes of one against the rest; ties count half.

    The weighted Mann-Whitney statistic (Hanley and McNeil 1982).
    """
    if np.isnan(scores).any():
        return np.full(len(weights), np.nan)
    areas, defined = [], []
    for label in range(scores.shape[1]):
        if label == 0 and scores.shape[1] == 2:
            continue  # with two classes both sides say the same
        score = scores[:, label]
        of, others = np.flatnonzero(truth[:, label]), np.flatnonzero(~truth[:, label])
        others = others[np.argsort(score[others], kind="stable")]
        least, most = (np.searchsorted(score[others], score[of], side) for side in _SIDES)
        positive = weights[:, of]
        below = np.zeros((len(weights), len(others) + 1))
        np.cumsum(weights[:, others], axis=1, out=below[:, 1:])
        won = np.einsum("ri,ri->r", positive, below[:, least])
        if (least != most).any():
            won = (won + np.einsum("ri,ri->r", positive, below[:, most])) / 2
        pairs = positive.sum(axis=1) * below[:, -1]
        areas.append(_ratio(won, pairs))
        defined.append(pairs > 0)
    return _mean(np.stack(areas, axis=1), np.stack(defined, axis=1))
