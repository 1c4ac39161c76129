"""The evidence says what an attacker was allowed, and what makes that a weak question."""

import numpy as np
import pytest
from gate_models import linear_samples, linear_target, required, small_convolution

from trust_gates import robustness
from trust_gates.errors import PolicyError
from trust_gates.policy import Setting
from trust_gates.robustness.policy import Robustness

WEIGHT = np.random.default_rng(5).normal(size=4)
NAMED = Setting(features=("age", "dose", "b", "c"), confidence=0.9)


def judged(low=0.3, model=None, **more):
    target, samples = model or (linear_target(WEIGHT), linear_samples(WEIGHT))
    asked = {"epsilon": 0.02, "sequential": False} | more
    policy = Robustness(checks=[required("robust_accuracy", low)], **asked)
    return robustness.judge(target, samples, policy, Setting() if model else NAMED)


def test_what_was_asked_is_said_in_words():
    asked = dict(judged(immutable=["age"], bounds={"dose": (0.4, 0.6)}).asked)
    assert asked["norm"] == "linf"
    assert asked["epsilon"].startswith("0.02, from 0.1")
    assert asked["epsilon"].endswith("of a feature's range")
    assert asked["attacks"] == "fgsm (1 step), pgd (20 steps), square (500 queries)"
    assert asked["samples attacked"] == "128 of 200"
    assert asked["out of an attacker's reach"] == "1 of 4: age"
    assert asked["bounded"] == "1 of 4: dose [0.4, 0.6]"
    assert asked["confidence"].startswith("0.9 ")


def test_a_standard_question_has_no_warning():
    assert judged().warnings == []
    assert judged(attacks=["autoattack"], model=small_convolution()).warnings == []


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ({"steps": 5}, "pgd got 5 steps, less than its own 20"),
        (
            {"attacks": ["pgd", "hopskipjump"], "queries": 1000},
            "hopskipjump got 1000 queries, less than its own 2000",
        ),
        (
            {"attacks": ["autoattack"], "steps": 100, "queries": 600},
            "autoattack got 600 queries, less than the 5000 of its standard",
        ),
        ({"attacks": ["vat", "square"]}, "the attacks vat, square are weak by design"),
        ({"attacks": ["deepfool", "square"]}, "or only approximate: one of bim, pgd"),
        ({"samples": 60}, "at most 60 samples are attacked, the standard is 128"),
        ({"epsilon": 1e-5}, "of the range, which changes next to nothing"),
    ],
)
def test_what_makes_the_question_weak_is_a_warning(more, warning):
    (said,) = judged(**more).warnings
    assert warning in said


def test_less_than_half_a_grey_level_is_a_warning():
    (said,) = judged(model=small_convolution(), epsilon=1 / 600, samples=128).warnings
    assert "epsilon 0.00166667 is 0.0017 of the range" in said


def test_an_effort_that_breaks_not_even_a_weak_model_is_the_policys_fault():
    with pytest.raises(PolicyError, match="got 1 step for the attack fab-t.*standard is 100 steps"):
        judged(model=small_convolution(), attacks=["autoattack"], steps=1)


@pytest.mark.parametrize("check", ["robust_accuracy", "minimal_perturbation"])
def test_a_policy_that_a_lost_model_would_pass_asks_for_nothing(check):
    policy = Robustness(checks=[required(check, low=0)], epsilon=0.02)
    with pytest.raises(PolicyError, match="robustness asks for nothing"):
        robustness.judge(linear_target(WEIGHT), linear_samples(WEIGHT), policy)
    (proof,) = [note for note in judged().notes if note.startswith("refused, as it must be: ")]
    assert "loses everything under attack" in proof
