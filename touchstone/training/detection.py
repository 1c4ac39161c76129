"""Mean average precision of a detector: greedy matching, all points interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Found:
    """The detections in one image, as arrays: boxes (n, 4) xyxy pixels, labels (n,), scores (n,)"""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4)."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    result: np.ndarray = shared / np.maximum(union, 1e-9)
    return result


def match(
    found: Found, boxes: np.ndarray, labels: np.ndarray, *, threshold: float = 0.5
) -> np.ndarray:
    """For each detection the index of the object it finds, or -1.

    Greedy by falling score: a detection takes the free object of its class that it overlaps
    most, if by at least `threshold`. An object is found once.
    """
    taken = np.full(len(found.labels), -1, dtype=np.int64)
    overlaps = iou(found.boxes, boxes)
    free = np.ones(len(labels), dtype=bool)
    for index in np.argsort(-found.scores, kind="stable"):
        candidates = np.where(free & (labels == found.labels[index]), overlaps[index], 0.0)
        if len(candidates) and candidates.max() >= threshold:
            taken[index] = candidates.argmax()
            free[taken[index]] = False
    return taken


def objects_found(found: Found, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each true object (m,): was it found with IoU >= 0.5 and the right class?"""
    hits = np.zeros(len(labels), dtype=bool)
    matched = match(found, boxes, labels)
    hits[matched[matched >= 0]] = True
    return hits


def average_precision(scores: np.ndarray, correct: np.ndarray, objects: int) -> float:
    """Area under the precision-recall curve of one class, precision made non-increasing.

    Args:
        scores: (n,) of the class's detections over all images.
        correct: (n,) bool, whether each found an object.
        objects: how many true objects there are; with none the answer is NaN.
    """
    if objects == 0:
        return float("nan")
    ranked = correct[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(ranked)
    precision = hits / np.arange(1, len(ranked) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * ranked).sum() / objects)


def mean_average_precision(
    found: Sequence[Found], boxes: np.ndarray, box_labels: np.ndarray, *, classes: int
) -> float:
    """mAP@0.5 over the classes that have objects; NaN when there is no object at all.

    Args:
        boxes: (N, M, 4) true boxes, xyxy pixels.
        box_labels: (N, M) their classes, -1 where there is no object.
    """
    scores, labels, correct = [], [], []
    for image, truth, truth_labels in zip(found, boxes, box_labels, strict=True):
        real = truth_labels >= 0
        scores.append(image.scores)
        labels.append(image.labels)
        correct.append(match(image, truth[real], truth_labels[real]) >= 0)
    if not scores:
        return float("nan")
    all_scores, all_labels, all_correct = map(np.concatenate, (scores, labels, correct))
    figures = [
        average_precision(
            all_scores[all_labels == label],
            all_correct[all_labels == label],
            int((box_labels == label).sum()),
        )
        for label in range(classes)
    ]
    present = [figure for figure in figures if not np.isnan(figure)]
    return float(np.mean(present)) if present else float("nan")
