"""Average precision agrees with cases worked out by hand."""

import numpy as np
import pytest

from touchstone.training.detection import (
    Found,
    average_precision,
    iou,
    match,
    mean_average_precision,
)

BOX = [0.0, 0.0, 10.0, 10.0]


def found(*entries):
    boxes, labels, scores = zip(*entries, strict=True) if entries else ((), (), ())
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(labels, int), np.array(scores))


def test_iou_of_half_shifted_boxes_is_a_third():
    assert iou(np.array([BOX]), np.array([[5.0, 0, 15, 10]]))[0, 0] == pytest.approx(1 / 3)


def test_average_precision_of_hit_miss_hit_of_two_objects():
    # Ranked: hit (precision 1, recall 1/2), miss, hit (precision 2/3, recall 1).
    measured = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert measured == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_an_object_is_found_once_by_the_surest_detection():
    image = found((BOX, 0, 0.5), (BOX, 0, 0.9))
    assert match(image, np.array([BOX]), np.array([0])).tolist() == [-1, 0]


def test_the_wrong_class_or_a_loose_box_finds_nothing():
    image = found((BOX, 1, 0.9), ([6.0, 0, 16, 10], 0, 0.8))
    assert match(image, np.array([BOX]), np.array([0])).tolist() == [-1, -1]


def test_map_averages_the_classes_that_have_objects():
    boxes = np.array([[BOX, [20.0, 20, 30, 30], [0, 0, 0, 0]]])
    labels = np.array([[0, 2, -1]])
    assert mean_average_precision([found((BOX, 0, 0.9))], boxes, labels, classes=3) == 0.5


def test_map_without_any_object_is_not_a_number():
    nothing = mean_average_precision([found()], np.zeros((1, 1, 4)), np.array([[-1]]), classes=2)
    assert np.isnan(nothing)
