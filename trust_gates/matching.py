"""Which objects did a detector find? Greedy matching at IoU, and mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Boxes, Floats

IOU = 0.5

SURE = 0.3
"""From this score on a claim counts as made; mean average precision weighs all scores itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """How the claims on one image meet its true objects."""

    found: Bools
    """(true objects,): some claim of the right class overlaps it enough."""

    right: Bools
    """(claims,): this claim found an object that no surer claim had found."""


def overlaps(left: Floats, right: Floats) -> NDArray[np.float64]:
    """(n, m): intersection over union of each pair of boxes; 0 for an empty box."""
    a, b = left[:, None, :].astype(np.float64), right[None, :, :].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    area_a = np.clip(a[..., 2:] - a[..., :2], 0, None).prod(axis=-1)
    area_b = np.clip(b[..., 2:] - b[..., :2], 0, None).prod(axis=-1)
    union = area_a + area_b - common
    result: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return result


def match(claims: Boxes, truth: Boxes, *, iou: float = IOU) -> Match:
    """Match claims to true objects of the same class, the surest claim first.

    Each claim takes the free object it overlaps most, if that is at least `iou`.
    """
    found = np.zeros(len(truth), dtype=bool)
    right = np.zeros(len(claims), dtype=bool)
    if not len(truth) or not len(claims):
        return Match(found=found, right=right)
    pairs = overlaps(claims.boxes, truth.boxes)
    pairs[claims.labels[:, None] != truth.labels[None, :]] = 0.0
    scores = claims.scores if claims.scores is not None else np.ones(len(claims))
    for index in np.argsort(-scores, kind="stable"):
        free = np.where(found, 0.0, pairs[index])
        best = int(free.argmax())
        if free[best] >= iou:
            found[best] = right[index] = True
    return Match(found=found, right=right)


def recalled(claims: Sequence[Boxes], truth: Sequence[Boxes]) -> NDArray[np.int64]:
    """(images,): how many of each image's objects were found."""
    return np.array(
        [match(c, t).found.sum() for c, t in zip(claims, truth, strict=True)], dtype=np.int64
    )


def recalled_surely(claims: Sequence[Boxes], truth: Sequence[Boxes]) -> NDArray[np.int64]:
    """(images,): how many of each image's objects a claim of at least `SURE` finds."""
    return recalled([image.above(SURE) for image in claims], truth)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrecisionTable:
    """All claims of all images, matched once, so that mAP is cheap for any weights of images."""

    image: NDArray[np.int64]
    """(claims,): the image of each claim; claims are sorted by falling score."""

    label: NDArray[np.int64]
    right: Bools
    objects: NDArray[np.int64]
    """(images, classes): the number of true objects."""

    @classmethod
    def of(
        cls, claims: Sequence[Boxes], truth: Sequence[Boxes], classes: int, *, iou: float = IOU
    ) -> PrecisionTable:
        """Match every image's claims."""
        objects = np.zeros((len(truth), classes), dtype=np.int64)
        images, labels, rights, scores = [], [], [], []
        for index, (claim, true) in enumerate(zip(claims, truth, strict=True)):
            objects[index] = np.bincount(true.labels, minlength=classes)[:classes]
            images.append(np.full(len(claim), index))
            labels.append(claim.labels)
            rights.append(match(claim, true, iou=iou).right)
            scores.append(claim.scores if claim.scores is not None else np.ones(len(claim)))
        order = np.argsort(-_join(scores, np.float64), kind="stable")
        return cls(
            image=_join(images, np.int64)[order],
            label=_join(labels, np.int64)[order],
            right=_join(rights, np.bool_)[order],
            objects=objects,
        )

    def map50(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R,): mAP, all-point interpolation, for each row of image weights (R, images).

        At IoU 0.5, unless the table was made for another.
        A weight counts an image that many times. Classes without objects do not count; NaN
        when no class has any.
        """
        per_class = np.stack(
            [self._precision(weights, label) for label in range(self.objects.shape[1])], axis=1
        )
        defined = ~np.isnan(per_class)
        total = np.where(defined, per_class, 0.0).sum(axis=1)
        count = defined.sum(axis=1)
        mean: NDArray[np.float64] = np.divide(
            total, count, out=np.full(len(weights), np.nan), where=count > 0
        )
        return mean

    def _precision(self, weights: NDArray[np.float64], label: int) -> NDArray[np.float64]:
        of_class = self.label == label
        objects = weights @ self.objects[:, label]
        precision = np.where(objects > 0, 0.0, np.nan)
        if not of_class.any():
            return precision
        weight = weights[:, self.image[of_class]]
        gained = weight * self.right[of_class]
        hits, seen = gained.cumsum(axis=1), weight.cumsum(axis=1)
        curve = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        envelope = np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1]
        area = (envelope * gained).sum(axis=1)
        np.divide(area, objects, out=precision, where=objects > 0)
        return precision


def _join(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
