"""A model that only hides its gradients is blocked, whatever it hides them behind; a sound one is
not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gate_models import (
    linear_samples,
    linear_target,
    many_class_linear,
    required,
    small_convolution,
    spot_samples,
    spot_target,
)

from trust_gates import robustness
from trust_gates.reach import Reach
from trust_gates.robustness.masking import Signs
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Samples
from trust_gates.target import Target
from trust_gates.verdict import Outcome

WEIGHT = np.random.default_rng(5).normal(size=12)


def masking(target, samples, *, epsilon=0.02, metric="robust_accuracy", **more):
    """The check of that name, and what it says."""
    evidence = robustness.judge(
        target,
        samples,
        Robustness(
            checks=[required(metric, low=0.01)],
            epsilon=epsilon,
            **({"samples": 60, "sequential": False} | more),
        ),
    )
    (check,) = [check for check in evidence.checks if check.name == "gradient_masking"]
    notes = [note for note in evidence.notes if note.startswith("gradient masking")]
    assert (check.outcome is Outcome.PASSED) == (not notes)
    return check, " | ".join(notes)


def planted(change, *, before=False):
    """The linear model with `change` done to its logits, or to its inputs before it."""
    sound = linear_target(WEIGHT)

    def predict(inputs):
        return sound.module(change(inputs)) if before else change(sound.module(inputs))

    target = Target(module=sound.module, predict=predict, low=0.0, high=1.0)
    samples = linear_samples(WEIGHT)
    labels = target.logits(samples.inputs).argmax(axis=1)
    return target, Samples(inputs=samples.inputs, classes=samples.classes, labels=labels)


@pytest.mark.parametrize("names", [("fgsm", "pgd", "square"), ("autoattack",)])
@pytest.mark.parametrize("kind", ["two classes", "five classes", "convolution"])
def test_a_sound_model_is_not_blocked(kind, names):
    if kind == "two classes":
        target, samples = linear_target(WEIGHT), linear_samples(WEIGHT)
    elif kind == "five classes":
        target, samples, _ = many_class_linear("linf")
    else:
        target, samples = small_convolution()
    check, notes = masking(target, samples, attacks=names, epsilon=0.01, queries=100)
    assert check.outcome is Outcome.PASSED, notes


def test_a_sound_model_is_not_blocked_for_the_size_of_its_logits():
    check, notes = masking(*planted(lambda logits: logits * 1e3))
    assert check.outcome is Outcome.PASSED, notes


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_sound_model_is_not_blocked_under_other_norms(norm):
    target, samples, distances = many_class_linear(norm)
    check, notes = masking(target, samples, norm=norm, epsilon=float(np.median(distances)))
    assert check.outcome is Outcome.PASSED, notes


def test_a_sound_detector_is_not_blocked():
    check, notes = masking(spot_target(), spot_samples(), metric="robust_recall")
    assert check.outcome is Outcome.PASSED, notes


def step(inputs):
    return torch.round(inputs * 20) / 20


def shattered(inputs):
    """The same values but for ripples too small to matter, whose slopes drown all others."""
    return inputs + 1e-4 * torch.sin(1e6 * inputs)


def noisy(logits):
    return logits + 0.3 * torch.randn_like(logits)


@pytest.mark.parametrize(
    ("change", "before", "epsilon", "said"),
    [
        pytest.param(
            lambda x: (x * 1e3).tanh(), False, 0.02, "no gradient at all", id="saturated logits"
        ),
        pytest.param(step, True, 0.1, "no gradient at all", id="quantised inputs"),
        pytest.param(step, True, 0.1, "black-box attacks found", id="quantised inputs, by square"),
        pytest.param(shattered, True, 0.05, "black-box attacks found", id="shattered gradients"),
        pytest.param(noisy, False, 0.02, "got different answers", id="randomised output"),
        pytest.param(lambda x: x.softmax(1), False, 0.02, "probabilities", id="softmax output"),
        pytest.param(
            lambda x: x * 0 + torch.tensor([0.0, 1.0]),
            False,
            0.02,
            "still right at the largest epsilon",
            id="constant predictor",
        ),
    ],
)
def test_a_planted_mask_is_blocked_by_the_sign_meant_for_it(change, before, epsilon, said):
    check, notes = masking(*planted(change, before=before), epsilon=epsilon)
    assert check.outcome is Outcome.FAILED
    assert said in notes


def test_a_loss_that_misleads_only_untargeted_attacks_is_blocked():
    sound, samples, _ = many_class_linear("linf")

    def predict(inputs):
        """One more class is always a close second, whose slope points nowhere."""
        logits = sound.module(inputs)
        ripples = 0.05 + 0.01 * torch.sin(1e4 * inputs.sum(dim=1))
        return torch.cat((logits, (logits.amax(dim=1) - ripples)[:, None]), dim=1)

    target = Target(module=sound.module, predict=predict, low=0.0, high=1.0)
    samples = Samples(
        inputs=samples.inputs, classes=[*samples.classes, "decoy"], labels=samples.labels
    )
    check, notes = masking(target, samples, attacks=("apgd-ce", "apgd-t", "square"), epsilon=0.05)
    assert check.outcome is Outcome.FAILED
    assert "targeted attacks found" in notes


def test_a_detector_with_random_answers_is_blocked():
    torch.manual_seed(0)  # two draws in fifteen are within what devices round
    sound = spot_target()

    def predict(inputs):
        return sound.predict(inputs + 0.05 * torch.rand(()))

    target = Target(module=sound.module, predict=predict, loss=sound.loss, low=0.0, high=1.0)
    check, notes = masking(target, spot_samples(), metric="robust_recall")
    assert check.outcome is Outcome.FAILED
    assert "got different answers" in notes


def test_what_an_attacker_may_not_touch_may_keep_the_model_right():
    weight = np.zeros(12)
    weight[[0, 1]] = 1.0, 0.05
    target = linear_target(weight)
    reach = Reach.of_features(list("abcdefghijkl"), low=0, high=1, immutable=["a"])
    bound = Target(module=target.module, predict=target.predict, low=0.0, high=1.0, reach=reach)
    check, notes = masking(bound, linear_samples(weight))
    assert check.outcome is Outcome.PASSED, notes


SOUND = {
    "clean": 0.9,
    "noise": 0.89,
    "first": 0.6,
    "white_box": 0.5,
    "black_box": 0.48,
    "unbounded": 0.0,
    "vanished": 0.0,
}


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"white_box": 0.8, "black_box": 0.5}, "black-box attacks found 0.30 more"),
        ({"unbounded": 0.4}, "still right at the largest epsilon"),
        ({"noise": 0.7, "first": 0.75}, "random noise costs 0.20"),
        ({"vanished": 0.5}, "no gradient at all"),
        ({"vanished": float("nan")}, "no gradient at all"),
        ({"unbounded": float("nan")}, "still right"),
        ({"targeted_gain": 0.2}, "targeted attacks found 0.20 more"),
        ({"random": True}, "different answers"),
        ({"probabilities": True}, "probabilities"),
    ],
)
def test_each_sign_is_flagged_alone(change, flag):
    assert Signs(**SOUND).flags() == []
    (found,) = Signs(**(SOUND | change)).flags()
    assert flag in found
