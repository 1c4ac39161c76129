"""Matching and mAP@0.5 have known answers."""

import math

import numpy as np
import pytest

from trust_gates.matching import PrecisionTable, match, overlaps, recalled
from trust_gates.samples import Boxes


def boxes(*rows, labels=None, scores=None):
    return Boxes(
        boxes=np.array(rows, dtype=np.float32).reshape(-1, 4),
        labels=np.array(labels if labels is not None else [0] * len(rows), dtype=np.int64),
        scores=None if scores is None else np.array(scores, dtype=np.float64),
    )


A, B, FAR = (0, 0, 10, 10), (20, 20, 30, 30), (50, 50, 60, 60)


def test_overlap_is_intersection_over_union():
    values = overlaps(np.array([A, (5, 0, 15, 10), (0, 0, 0, 0)]), np.array([A, B]))
    assert values == pytest.approx(np.array([[1, 0], [1 / 3, 0], [0, 0]]))


def test_an_object_is_found_once_by_the_surest_claim():
    result = match(boxes(A, A, scores=[0.6, 0.9]), boxes(A))
    assert result.found.tolist() == [True]
    assert result.right.tolist() == [False, True]


def test_the_wrong_class_or_a_loose_box_finds_nothing():
    assert not match(boxes(A, labels=[1], scores=[1.0]), boxes(A, labels=[0])).found.any()
    assert not match(boxes((6, 0, 16, 10), scores=[1.0]), boxes(A)).found.any()


def test_a_claim_takes_the_free_object_it_overlaps_most():
    shifted = (1, 0, 11, 10)
    result = match(boxes(A, A, scores=[0.9, 0.8]), boxes(A, shifted))
    assert result.found.tolist() == [True, True]


def test_nothing_claimed_and_nothing_there_are_fine():
    assert match(boxes(), boxes(A)).found.tolist() == [False]
    assert match(boxes(A, scores=[1.0]), boxes()).right.tolist() == [False]
    assert recalled([boxes(), boxes(A, scores=[1])], [boxes(A), boxes(A)]).tolist() == [0, 1]


def test_map50_by_hand():
    # By falling score: right, wrong, right of 2 objects: precision 1, 1/2, 2/3.
    claims = [boxes(A, FAR, B, scores=[0.9, 0.8, 0.7])]
    table = PrecisionTable.of(claims, [boxes(A, B)], 1)
    assert table.map50(np.ones((1, 1)))[0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_map50_is_the_mean_over_classes_that_have_objects():
    claims = [boxes(A, FAR, scores=[0.9, 0.9], labels=[0, 2])]
    table = PrecisionTable.of(claims, [boxes(A, B, labels=[0, 1])], 3)
    assert table.map50(np.ones((1, 1)))[0] == pytest.approx(0.5)


def test_map50_without_any_object_is_not_a_number():
    table = PrecisionTable.of([boxes(A, scores=[0.9])], [boxes()], 2)
    assert math.isnan(table.map50(np.ones((1, 1)))[0])


def test_a_weight_counts_an_image_that_many_times():
    generator = np.random.default_rng(0)
    truth, claims = [], []
    for _ in range(6):
        corner = generator.uniform(0, 30, size=(4, 2))
        true = np.hstack([corner, corner + 10])
        labels = generator.integers(0, 2, 4)
        moved = true + generator.normal(0, 2, size=true.shape)
        truth.append(boxes(*true, labels=labels))
        claims.append(boxes(*moved, labels=labels, scores=generator.uniform(size=4)))
    weights = np.array([[2, 0, 1, 3, 0, 1]])
    repeated = np.repeat(np.arange(6), weights[0])
    weighted = PrecisionTable.of(claims, truth, 2).map50(weights.astype(float))
    plain = PrecisionTable.of([claims[i] for i in repeated], [truth[i] for i in repeated], 2)
    assert weighted[0] == pytest.approx(plain.map50(np.ones((1, 7)))[0], abs=1e-9)


def test_boxes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \(2, 4\)"):
        Boxes(boxes=np.zeros((1, 4)), labels=np.zeros(2, dtype=np.int64))
