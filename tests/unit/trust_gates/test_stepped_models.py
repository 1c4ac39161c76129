"""Models made of steps, as trees are: attacked along averaged gradients, with every sign looked at.

A tree that is weak is broken, one whose steps lie far away passes, and one that only looks robust
is refused as gradient masking.
"""

import numpy as np
import pytest
import torch
from gate_models import Linear, linear_samples, linear_target, required

from trust_gates import robustness
from trust_gates.errors import PolicyError
from trust_gates.inputs import opaque
from trust_gates.robustness import stepped, weak
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.verdict import Outcome

WEIGHT = np.array([1.0, -2.0, 0.5, 3.0])
SAMPLES = linear_samples(WEIGHT, count=80)
BUDGET = Budget(norm="linf", epsilon=0.02)


def trees(width):
    """A sum of steps of each value, `width` apart: the linear model, as trees would have it."""

    def answer(inputs):
        steps = np.rint((inputs.astype(np.float64) - 0.5) / width) * width
        score = steps @ WEIGHT
        return np.stack([-score, score], axis=1)

    return opaque.target(answer, low=0, high=1)


def judged(target, samples=SAMPLES, **more):
    asked = {"epsilon": 0.02, "samples": 80, "checks": [required("robust_accuracy", low=0.1)]}
    evidence = robustness.judge(target, samples, Robustness(**asked | more))
    return evidence, {check.name: check for check in evidence.checks}


def test_a_model_of_steps_is_as_robust_as_the_smooth_one_that_it_is_made_after():
    smooth = judged(linear_target(WEIGHT))[1]["robust_accuracy"].measured
    evidence, checks = judged(trees(0.01))
    assert 0.3 < smooth < 0.9
    assert checks["robust_accuracy"].measured == pytest.approx(smooth, abs=0.1)
    assert checks["gradient_masking"].outcome is Outcome.PASSED, evidence.notes
    assert any("a model of steps" in note for note in evidence.notes)


def test_a_tree_whose_steps_nothing_within_the_budget_reaches_passes():
    rows = np.random.default_rng(0).choice([0.2, 0.8], size=(60, 3)).astype(np.float32)
    samples = Samples(inputs=rows, classes=["a", "b"], labels=(rows[:, 0] > 0.5).astype(np.int64))
    stump = opaque.target(
        lambda x: np.stack([np.where(x[:, 0] > 0.5, -1, 1), np.where(x[:, 0] > 0.5, 1, -1)], 1),
        low=0,
        high=1,
    )
    evidence, checks = judged(stump, samples, epsilon=0.1)
    assert checks["robust_accuracy"].measured == 1
    assert checks["gradient_masking"].outcome is Outcome.PASSED, evidence.notes


def _constant(inputs):
    return np.tile([0.0, 1.0], (len(inputs), 1))


def _jagged(inputs):
    """Decides as the linear model does, but is as sure as the input's last bits have it."""
    score = (inputs.astype(np.float64) - 0.5) @ WEIGHT
    bits = np.ascontiguousarray(inputs).view(np.uint32).astype(np.uint64)
    mixed = (bits * np.array([2654435761, 40503, 2246822519, 3266489917], np.uint64)).sum(axis=1)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519)
    sure = 10 ** (6 * ((mixed >> np.uint64(20)) & np.uint64(0xFFFF)) / 65536)
    side = np.where(score > 0, sure, -sure)
    return np.stack([-side, side], axis=1)


@pytest.mark.parametrize(
    ("answer", "sign"),
    [(_constant, "have no gradient at all"), (_jagged, "black-box attacks found")],
)
def test_a_model_of_steps_that_only_looks_robust_is_refused_as_masking(answer, sign):
    asked = {"attacks": ("fgsm", "pgd", "hopskipjump"), "epsilon": 0.05, "sequential": False}
    evidence, checks = judged(opaque.target(answer, low=0, high=1), **asked)
    assert checks["gradient_masking"].outcome is Outcome.FAILED
    assert any(sign in note for note in evidence.notes), evidence.notes


def test_only_a_model_whose_differences_foretell_nothing_is_one_of_steps():
    module = Linear(WEIGHT)

    def smooth(inputs):
        with torch.no_grad():
            return module(torch.from_numpy(inputs)).numpy()

    asked = opaque.target(smooth, low=0, high=1)
    assert stepped.recognised(asked, SAMPLES, BUDGET)[0].averaged is None
    assert stepped.recognised(trees(0.01), SAMPLES, BUDGET)[0].averaged is not None
    whole = linear_target(WEIGHT)
    assert stepped.recognised(whole, SAMPLES, BUDGET)[0] is whole
    # A little slope beside large steps hides none of them.
    steps = trees(0.01)
    mixed = opaque.target(
        lambda x: steps.predict(torch.from_numpy(x)).numpy() + 1e-3 * smooth(x[:, ::-1].copy()),
        low=0,
        high=1,
    )
    assert stepped.recognised(mixed, SAMPLES, BUDGET)[0].averaged is not None


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce", "square"])
def test_an_attack_breaks_a_model_of_steps_that_is_known_to_be_weak(name, norm):
    assert weak.check_attack(name, SAMPLES, trees(0.01), Budget(norm=norm, epsilon=0.1)) == 1


def test_what_needs_slopes_is_refused_by_name():
    with pytest.raises(PolicyError, match="the attack fab-t for a model made of steps"):
        judged(trees(0.01), attacks=("fab-t", "square"))
    with pytest.raises(PolicyError, match="loss_sensitivity for a model made of steps"):
        judged(trees(0.01), figures=("loss_sensitivity",))


def test_an_attacker_of_some_features_averages_over_these_alone():
    """Beyond what can be changed the model may not even answer."""

    def answer(inputs):
        assert (inputs[:, 3] == SAMPLES.inputs[0, 3]).all()
        return trees(0.01).logits(inputs)

    rows = SAMPLES.inputs.copy()
    rows[:, 3] = rows[0, 3]
    labels = trees(0.01).logits(rows).argmax(axis=1)
    samples = Samples(inputs=rows, classes=["no", "yes"], labels=labels)
    target = opaque.target(answer, low=0, high=1)
    policy = Robustness(
        epsilon=0.02, immutable=("d",), checks=[required("robust_accuracy", low=0.1)]
    )
    limited = policy.limit(target, ["a", "b", "c", "d"])
    sizes = Victim.of(limited, samples).evenly(BUDGET)
    assert sizes.tolist() == [np.float32(0.02)] * 3 + [0]
    inputs = limited.tensor(rows[:4]).requires_grad_()
    Victim.of(limited, samples).pursued(BUDGET).differentiable(inputs)[:, 0].sum().backward()
    assert (inputs.grad[:, 3] == 0).all()
    assert inputs.grad[:, :3].any()
