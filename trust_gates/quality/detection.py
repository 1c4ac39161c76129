"""A detector's figures, each for any weights of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import SURE, PrecisionTable, match
from trust_gates.quality import calibration
from trust_gates.samples import Bools, Boxes, Samples

Array = NDArray[np.float64]

_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""COCO's thresholds (Lin et al. 2014)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a detector claimed about N images, matched with their true objects once."""

    claims: Sequence[Boxes]
    tables: Sequence[PrecisionTable]
    """One for each of the IoU thresholds."""

    found: Sequence[Bools]
    """Per image: which of its objects were found."""

    confidence: Array
    """(claims,): each claim's score."""

    right: Bools
    """(claims,): whether it found an object."""

    image: NDArray[np.int64]
    """(claims,): the image of each."""

    @classmethod
    def of(cls, claims: Sequence[Boxes], samples: Samples) -> Answers:
        """Match the claims with the samples' objects."""
        truth = samples.objects or ()
        matched = [match(one, true).right for one, true in zip(claims, truth, strict=True)]
        scores = [np.ones(len(c)) if c.scores is None else c.scores for c in claims]
        return cls(
            claims=claims,
            tables=[PrecisionTable.of(claims, truth, len(samples.classes), iou=i) for i in _IOUS],
            found=[match(c.above(SURE), true).found for c, true in zip(claims, truth, strict=True)],
            confidence=np.concatenate([np.zeros(0), *scores]),
            right=np.concatenate([np.zeros(0, bool), *matched]),
            image=np.repeat(np.arange(len(claims)), [len(one) for one in claims]),
        )

    def figures(self, weights: Array) -> dict[str, Array]:
        """`map50`, `map50_95`, `recall`, `ece` of the claims, each (R,)."""
        precision = [table.map50(weights) for table in self.tables]
        found = np.array([image.sum() for image in self.found])
        objects = np.array([len(image) for image in self.found])
        with np.errstate(invalid="ignore"):
            recall = (weights @ found) / (weights @ objects)
        return {
            "map50": precision[0],
            "map50_95": np.mean(precision, axis=0),
            "recall": recall,
            "ece": calibration.error(weights, self.confidence, self.right, self.image),
        }
