"""Our estimators keep ART's contract: its attacks accept them and get from them what they need."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent, SquareAttack
from art.estimators.estimator import BaseEstimator, LossGradientsMixin, NeuralNetworkMixin
from art.estimators.object_detection.object_detector import ObjectDetectorMixin
from gate_models import linear_target, spot_samples, spot_target

from trust_gates.robustness.estimators import (
    DetectorEstimator,
    RememberingDetector,
    as_labels,
)


@pytest.fixture
def detector():
    return DetectorEstimator(spot_target(), (3, 16, 16))


def test_a_detector_is_what_arts_attacks_require(detector):
    for attack in (FastGradientMethod, ProjectedGradientDescent, SquareAttack):
        for requirement in attack._estimator_requirements:
            assert isinstance(detector, requirement), (attack, requirement)
    assert isinstance(detector, ObjectDetectorMixin)
    assert isinstance(detector, BaseEstimator | LossGradientsMixin | NeuralNetworkMixin)
    assert detector.input_shape == (3, 16, 16)
    assert detector.clip_values.tolist() == [0.0, 1.0]
    assert detector.channels_first
    assert detector.native_label_is_pytorch_format


def test_predictions_have_arts_form(detector):
    samples = spot_samples(5)
    predictions = detector.predict(samples.inputs)
    assert len(predictions) == 5
    for prediction, truth in zip(predictions, samples.objects, strict=True):
        assert prediction["boxes"].shape == (len(truth), 4)
        assert prediction["labels"].shape == prediction["scores"].shape == (len(truth),)


def test_the_gradient_is_the_losss(detector):
    samples = spot_samples(3)
    labels = as_labels(samples.objects)
    gradient = detector.loss_gradient(samples.inputs, labels)
    assert gradient.shape == samples.inputs.shape
    assert gradient.dtype == np.float32
    step = np.zeros_like(samples.inputs)
    step[1, 0, 2, 3] = 1e-2
    target = spot_target()

    def loss(inputs):
        boxes = torch.from_numpy(np.stack([image.boxes for image in samples.objects]))
        marks = torch.zeros(3, 2, dtype=torch.int64)
        return float(target.loss(torch.from_numpy(inputs), boxes, marks))

    slope = (loss(samples.inputs + step) - loss(samples.inputs - step)) / 2e-2
    assert gradient[1, 0, 2, 3] == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("attack", [FastGradientMethod, ProjectedGradientDescent])
def test_arts_gradient_attacks_accept_a_detector(detector, attack, norm):
    samples = spot_samples(4)
    options = {"eps_step": 0.02, "max_iter": 5, "verbose": False}
    options = options if attack is ProjectedGradientDescent else {}
    attacked = attack(detector, norm=norm, eps=0.05, **options).generate(
        x=samples.inputs, y=as_labels(samples.objects)
    )
    change = np.linalg.norm((attacked - samples.inputs).reshape(4, -1), ord=norm, axis=1)
    assert (change > 0).all()
    assert (change <= 0.05 + 1e-5).all()


def test_a_remembering_detector_answers_the_same(detector):
    remembering = RememberingDetector(spot_target(), (3, 16, 16))
    inputs = spot_samples(6).inputs
    for part in (inputs[:4], inputs[2:], inputs[:0], inputs[[0, 0, 5]]):
        plain, recalled = detector.predict(part), remembering.predict(part)
        assert len(plain) == len(recalled)
        for a, b in zip(plain, recalled, strict=True):
            assert all(np.array_equal(a[key], b[key]) for key in ("boxes", "labels", "scores"))


def test_a_detector_without_a_loss_is_refused():
    with pytest.raises(ValueError, match="without a loss"):
        DetectorEstimator(linear_target(np.ones(3)), (3,))
