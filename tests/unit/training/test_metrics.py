"""Training's figures are the quality gate's, and have known answers."""

import numpy as np
import pytest
import torch

from touchstone.training.metrics import classification, evaluate
from touchstone.training.spec import Description, Detection, ModelSpec
from trust_gates.quality.detection import Answers
from trust_gates.samples import Boxes, Samples

A, B = [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]


class Answering(ModelSpec):
    """Says what it was told, whatever it sees."""

    def __init__(self, task, answers):
        self.task, self.answers = task, answers

    def load_data(self, uri, *, seed):
        raise ValueError("nothing to load")

    def build(self, parameters):
        return torch.nn.Identity()

    def loss(self, module, batch):
        return batch.inputs.sum()

    def predict(self, module, inputs):
        return self.answers


def described(task, classes):
    inputs = {"shape": [1], "low": 0.0, "high": 1.0}
    return Description(task=task, classes=classes, inputs=inputs, protected={}, seed=0)


def detections(*rows):
    boxes, labels, scores = zip(*rows, strict=True) if rows else ([], [], [])
    return Detection(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores),
    )


def figures(answers, boxes, labels, classes=("a", "b", "c")):
    arrays = {
        "inputs": np.zeros((len(answers), 1), np.float32),
        "boxes": np.array(boxes, np.float32),
        "box_labels": np.array(labels),
    }
    spec = Answering("detection", answers)
    return evaluate(spec, spec.build({}), described("detection", classes), arrays)


def test_a_detector_finds_the_objects_of_each_image_and_padding_is_none():
    nothing = [0.0] * 4
    found = figures(
        [detections((A, 0, 0.9), (A, 0, 0.8)), detections((B, 2, 0.6), (A, 1, 0.2))],
        [[A, B], [B, nothing]],
        [[0, 2], [2, -1]],
    )
    # By class: one hit before a miss is 1; one of two objects found is 1/2; no object of "b".
    assert found == {"map50": pytest.approx(0.75), "recall": pytest.approx(2 / 3)}


def test_images_without_any_object_have_no_figures():
    found = figures([detections()], np.zeros((1, 1, 4)), [[-1]])
    assert np.isnan(found["map50"]) and np.isnan(found["recall"])


def test_a_detectors_figures_are_the_gates():
    generator = np.random.default_rng(2)
    corners = generator.uniform(0, 20, size=(30, 3, 2))
    truth = np.concatenate([corners, corners + 10], axis=2)
    labels = generator.integers(-1, 2, size=(30, 3))
    moved = truth + generator.normal(0, 2, size=truth.shape)
    scores = generator.uniform(size=(30, 3))
    answers = [
        detections(*zip(boxes.tolist(), named.clip(0).tolist(), sure.tolist(), strict=True))
        for boxes, named, sure in zip(moved, labels, scores, strict=True)
    ]
    found = figures(answers, truth, labels, classes=("a", "b"))
    objects = [Boxes(boxes=t[n >= 0], labels=n[n >= 0]) for t, n in zip(truth, labels, strict=True)]
    samples = Samples(inputs=np.zeros((30, 1), np.float32), classes=("a", "b"), objects=objects)
    claims = [
        Boxes(boxes=a.boxes.numpy(), labels=a.labels.numpy(), scores=a.scores.numpy())
        for a in answers
    ]
    gates = Answers.of(claims, samples).figures(np.ones((1, 30)))
    assert found == {name: pytest.approx(gates[name][0]) for name in ("map50", "recall")}


def test_balanced_accuracy_counts_each_class_equally_and_no_number_is_right():
    labels = np.array([0, 0, 0, 1, 1])
    answers = np.array([[2.0, 1], [2, 1], [1, 2], [1, 2], [np.nan, np.nan]])
    samples = Samples(inputs=np.zeros((5, 1), np.float32), classes=("a", "b"), labels=labels)
    assert classification(answers, samples) == {
        "accuracy": pytest.approx(3 / 5),
        "balanced_accuracy": pytest.approx((2 / 3 + 1 / 2) / 2),
    }


def test_what_is_no_logits_is_refused():
    spec = Answering("classification", torch.zeros(3))
    arrays = {"inputs": np.zeros((3, 1), np.float32), "labels": np.zeros(3, np.int64)}
    with pytest.raises(ValueError, match=r"expected logits \(N, K\)"):
        evaluate(spec, spec.build({}), described("classification", ("a",)), arrays)
