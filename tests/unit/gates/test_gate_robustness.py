"""The gate finds exactly the robustness that a model has, and sees through masked gradients."""

import numpy as np
import pytest
import torch
from gate_models import (
    linear_samples,
    linear_target,
    spot_samples,
    spot_target,
)

from trust_gates import robustness
from trust_gates.errors import GateError
from trust_gates.robustness import attacks, masking, weak
from trust_gates.robustness.attacks.interface import Attack, Budget
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import Requirement
from trust_gates.target import Target
from trust_gates.verdict import Outcome, Required

PNG = b"\x89PNG\r\n"


@pytest.fixture
def weight():
    return np.random.default_rng(5).normal(size=12)


def policy(epsilon, metric="robust_accuracy", low=0.3, **more):
    requirements = [Requirement(metric=metric, required=Required(low=low))]
    return robustness.Policy(requirements=requirements, epsilon=epsilon, **more)


def test_a_linear_models_robust_accuracy_is_exact(weight):
    samples, epsilon = linear_samples(weight), 0.02
    margins = np.abs((samples.inputs - 0.5) @ weight) / np.abs(weight).sum()
    evidence = robustness.judge(
        linear_target(weight), samples, policy(epsilon, low=0.25, samples=200, sequential=False)
    )
    check = evidence.checks[0]
    assert check.measured == pytest.approx((margins > epsilon).mean(), abs=0.011)
    assert check.samples == 200
    assert evidence.outcome is Outcome.PASSED
    assert evidence.pictures["robustness-epsilon"].startswith(PNG)


def test_a_linear_models_l2_robustness_is_exact(weight):
    samples, epsilon = linear_samples(weight), 0.05
    margins = np.abs((samples.inputs - 0.5) @ weight) / np.linalg.norm(weight)
    victim = Victim.of(linear_target(weight), samples)
    attacked = attacks.run("fgsm", victim, samples, Budget(norm="l2", epsilon=epsilon))
    held = victim.held(attacked, samples)
    assert held.mean() == pytest.approx((margins > epsilon).mean(), abs=0.011)


def test_a_weak_model_fails(weight):
    evidence = robustness.judge(linear_target(weight), linear_samples(weight), policy(0.2))
    assert evidence.checks[0].measured == 0
    assert evidence.outcome is Outcome.FAILED


def test_logits_times_a_million_are_flagged_as_masked(weight):
    masked = linear_target(weight, scale=1e6)
    evidence = robustness.judge(masked, linear_samples(weight), policy(0.05, low=0.0))
    check = next(check for check in evidence.checks if check.name == "gradient_masking")
    assert check.outcome is Outcome.FAILED
    assert any("no gradient" in note for note in evidence.notes)
    assert evidence.outcome is Outcome.FAILED


def test_the_same_evidence_comes_from_the_same_seed(weight):
    def judged():
        samples = linear_samples(weight, count=60)
        return robustness.judge(linear_target(weight), samples, policy(0.02))

    state = np.random.get_state()[1].copy()
    first = judged()
    assert (np.random.get_state()[1] == state).all()
    assert first.to_json() == judged().to_json()
    assert first.pictures == judged().pictures


def test_a_detector_loses_objects_as_epsilon_grows():
    evidence = robustness.judge(
        spot_target(), spot_samples(), policy(0.02, "robust_recall", low=0.5)
    )
    assert evidence.outcome is Outcome.PASSED
    assert evidence.figures["robust_recall"] == 1.0
    assert evidence.figures["robust_map50"] == 1.0
    lost = robustness.judge(spot_target(), spot_samples(), policy(0.3, "robust_recall", low=0.5))
    assert lost.figures["robust_recall"] == 0.0
    assert lost.outcome is Outcome.FAILED
    assert lost.pictures["robustness-examples"].startswith(PNG)
    curve = [v for name, v in lost.figures.items() if name.startswith("at_epsilon")]
    assert curve == sorted(curve, reverse=True)
    assert (curve[0], curve[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", list(attacks.ATTACKS))
@pytest.mark.parametrize("kind", ["images", "detection"])
def test_every_attack_breaks_a_model_known_to_be_weak(kind, name, norm):
    if kind == "detection":
        like, target = spot_samples(2), spot_target()
    else:
        like = Samples(
            inputs=np.zeros((2, 1, 16, 16), np.float32), classes=["a", "b", "c"], labels=np.zeros(2)
        )
        target = linear_target(np.ones(256))
    with attacks.seeded(0):
        budget = Budget(norm=norm, epsilon=8 / 255)
        assert weak.check_attack(name, like, target, budget) >= 0.75


@pytest.mark.parametrize("features", [1, 3, 10, 40])
def test_square_reaches_every_feature_of_a_row(features):
    like = Samples(
        inputs=np.zeros((2, features), np.float32), classes=["a", "b"], labels=np.zeros(2)
    )
    with attacks.seeded(0):
        budget = Budget(norm="linf", epsilon=0.02)
        assert weak.check_attack("square", like, linear_target(np.ones(features)), budget) == 1.0


def replace_attack(monkeypatch, name, generate):
    double = Attack(
        name=name, kind="white", meaning="", cost=1, generate=lambda v, s, b: generate(s)
    )
    monkeypatch.setitem(attacks.ATTACKS, name, double)


def test_an_attack_that_does_nothing_is_an_error(monkeypatch, weight):
    replace_attack(monkeypatch, "pgd", lambda samples: samples.inputs)
    with pytest.raises(GateError, match="pgd broke 0% of a model known to be weak"):
        robustness.judge(linear_target(weight), linear_samples(weight), policy(0.02))


def test_an_attack_that_leaves_its_budget_is_an_error(monkeypatch, weight):
    replace_attack(monkeypatch, "fgsm", lambda samples: np.zeros_like(samples.inputs))
    with pytest.raises(GateError, match="fgsm changed an input by"):
        robustness.judge(linear_target(weight), linear_samples(weight), policy(0.02))


def test_a_model_that_gives_no_gradients_is_an_error():
    module = torch.nn.Linear(4, 2)

    def predict(x):
        with torch.no_grad():
            return module(x)

    target = Target(module=module, predict=predict, low=0.0, high=1.0)
    samples = Samples(
        inputs=np.full((40, 4), 0.5, np.float32), classes=["a", "b"], labels=np.zeros(40, int)
    )
    samples = Samples(
        inputs=samples.inputs,
        classes=samples.classes,
        labels=target.logits(samples.inputs).argmax(axis=1),
    )
    with pytest.raises(GateError, match="no gradient"):
        robustness.judge(target, samples, policy(0.02))


def test_predictions_that_are_not_finite_count_as_wrong(weight):
    target = Target(
        module=torch.nn.Identity(), predict=lambda x: x[:, :2] * torch.nan, low=0.0, high=1.0
    )
    samples = linear_samples(weight)
    assert Victim.of(target, samples).held(samples.inputs, samples).sum() == 0


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"white_box": 0.8, "black_box": 0.5}, "black-box attacks found 0.30 more"),
        ({"unbounded": 0.4}, "still right at the largest epsilon"),
        ({"noise": 0.7, "first": 0.75}, "random noise costs 0.20"),
        ({"vanished": 0.5}, "no gradient at all"),
        ({"vanished": float("nan")}, "no gradient at all"),
        ({"unbounded": float("nan")}, "still right"),
    ],
)
def test_each_sign_of_masking_is_flagged(change, flag):
    sound = {
        "clean": 0.9,
        "noise": 0.89,
        "first": 0.6,
        "white_box": 0.5,
        "black_box": 0.48,
        "unbounded": 0.0,
        "vanished": 0.0,
    }
    assert masking.Signs(**sound).flags() == []
    (found,) = masking.Signs(**(sound | change)).flags()
    assert flag in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attacks": ("fgsm", "foo")}, r"got attacks \['foo'\]"),
        ({"attacks": ("fgsm", "pgd")}, "black-box one"),
        ({"attacks": ("square",)}, "white-box one"),
        ({"epsilon": 0.0}, "expected > 0"),
        ({"epsilon": float("nan")}, "expected > 0"),
    ],
)
def test_a_policy_that_cannot_judge_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        policy(**({"epsilon": 0.1} | change))


def test_no_samples_are_refused(weight):
    empty = linear_samples(weight).take(np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="no samples"):
        robustness.judge(linear_target(weight), empty, policy(0.1))
