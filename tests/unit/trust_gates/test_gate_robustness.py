"""The gate finds exactly the robustness that a model has, and sees through masked gradients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, required, spot_samples, spot_target

from trust_gates import robustness
from trust_gates.errors import GateError
from trust_gates.policy import Setting
from trust_gates.reach import Reach
from trust_gates.robustness import attacks, figures, weak
from trust_gates.robustness.attacks.attack import Attack
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.corruptions import CORRUPTIONS
from trust_gates.robustness.measure import measure
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import decide
from trust_gates.target import Target
from trust_gates.verdict import Outcome

PNG = b"\x89PNG\r\n"


@pytest.fixture
def weight():
    return np.random.default_rng(5).normal(size=12)


def policy(epsilon, metric="robust_accuracy", low=0.3, **more):
    return Robustness(checks=[required(metric, low)], epsilon=epsilon, **more)


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


def test_a_decided_gate_stops_and_says_how_many_samples_it_took(weight):
    samples = linear_samples(weight)
    evidence = robustness.judge(linear_target(weight), samples, policy(0.001, samples=200))
    assert evidence.outcome is Outcome.PASSED
    assert evidence.checks[0].samples == 30
    assert "sequential: 30 of at most 200 samples were needed" in evidence.notes
    whole = robustness.judge(
        linear_target(weight), samples, policy(0.001, samples=200, sequential=False)
    )
    assert whole.outcome is Outcome.PASSED
    assert whole.checks[0].samples == 200


def test_a_model_that_fails_by_cheap_attacks_is_spared_the_dear_ones(monkeypatch, weight):
    met = []
    run = attacks.run
    target, samples = linear_target(weight), linear_samples(weight)

    def watched(name, victim, part, budget):
        if victim.target is target:
            met.append(name)
        return run(name, victim, part, budget)

    monkeypatch.setattr(attacks, "run", watched)
    found = measure(Victim.of(target, samples), samples, policy(0.05, low=0.9), Setting())
    assert met == ["fgsm"]
    assert "spared the dearer attacks" in found.notes[1]
    (check,) = decide("g", found.figures, policy(0.05, low=0.9).requirements, confidence=0.95)
    assert (check.outcome, check.samples) == (Outcome.FAILED, 30)
    met.clear()
    found = measure(Victim.of(target, samples), samples, policy(0.001, low=0.5), Setting())
    assert met == ["fgsm", "pgd", "square"]
    assert len(found.notes) == 1


def test_a_gate_that_cannot_decide_takes_all_samples_and_asks_for_more(weight):
    samples, epsilon = linear_samples(weight), 0.02
    margins = np.abs((samples.inputs - 0.5) @ weight) / np.abs(weight).sum()
    share = float((margins > epsilon).mean())
    evidence = robustness.judge(
        linear_target(weight), samples, policy(epsilon, low=share - 0.03, samples=200)
    )
    check = evidence.checks[0]
    assert check.outcome is Outcome.INSUFFICIENT
    assert check.samples == 200
    assert check.samples_needed > 1000


def test_the_curve_has_bounds_for_every_attack_at_every_epsilon(weight):
    evidence = robustness.judge(linear_target(weight), linear_samples(weight), policy(0.02))
    ran, table = evidence.tables
    assert [row[0] for row in ran.rows] == ["fgsm", "pgd", "square"]
    assert [row[3] for row in ran.rows] == sorted([row[3] for row in ran.rows], reverse=True)
    assert {row[0] for row in table.rows} == {"fgsm", "pgd", "worst case"}
    for _, epsilon, share, low, high in table.rows:
        assert 0 <= low <= share <= high <= 1
        assert (share == 1) == (low > 0.9) == (epsilon <= 0.0)


def _worst(evidence, epsilon):
    curve = {row[1]: row[2] for row in evidence.tables[1].rows if row[0] == "worst case"}
    return curve[epsilon]


def test_the_curve_meets_the_policy_at_the_figure_that_was_judged(weight):
    evidence = robustness.judge(
        linear_target(weight), linear_samples(weight), policy(0.02, samples=200)
    )
    judged = evidence.checks[0]
    assert 0 < judged.measured < 1
    assert _worst(evidence, 0.02) == judged.measured
    assert f"({judged.samples} samples" in evidence.tables[1].title
    lost = robustness.judge(spot_target(), spot_samples(), policy(0.3, "robust_recall", low=0.5))
    assert _worst(lost, 0.3) == lost.figures["robust_recall"]


def test_a_weak_model_fails(weight):
    evidence = robustness.judge(linear_target(weight), linear_samples(weight), policy(0.2))
    assert evidence.checks[0].measured == 0
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
    assert evidence.figures["robust_map50"] == evidence.figures["robust_map50_95"] == 1.0
    lost = robustness.judge(spot_target(), spot_samples(), policy(0.3, "robust_recall", low=0.5))
    assert lost.figures["robust_recall"] == 0.0
    assert lost.outcome is Outcome.FAILED
    assert lost.pictures["robustness-examples"].startswith(PNG)
    _, table = lost.tables
    for name in ("fgsm", "pgd", "worst case"):
        curve = [share for attack, _, share, _, _ in table.rows if attack == name]
        assert curve == sorted(curve, reverse=True)
        assert (curve[0], curve[-1]) == (1.0, 0.0)


KINDS = {
    "images": (
        Samples(
            inputs=np.zeros((2, 1, 16, 16), np.float32), classes=["a", "b", "c"], labels=np.zeros(2)
        ),
        linear_target(np.ones(256)),
    ),
    "rows": (
        Samples(inputs=np.zeros((2, 10), np.float32), classes=["a", "b"], labels=np.zeros(2)),
        linear_target(np.ones(10)),
    ),
    "detection": (spot_samples(2), spot_target()),
}


def cases():
    for attack in attacks.ATTACKS.values():
        for kind in KINDS:
            for norm in attack.norms:
                task = "detection" if kind == "detection" else "classification"
                by_art = kind == "detection" and norm == "l1"  # ART's detectors: linf and l2
                if task in attack.tasks and not by_art:
                    yield pytest.param(kind, attack.name, norm, id=f"{attack.name}-{kind}-{norm}")


@pytest.mark.parametrize(("kind", "name", "norm"), cases())
def test_every_attack_breaks_a_model_known_to_be_weak(kind, name, norm):
    like, target = KINDS[kind]
    budget = Budget(norm=norm, epsilon=3 if norm == "l0" else 8 / 255)
    assert weak.check_attack(name, like, target, budget) >= attacks.ATTACKS[name].breaks


@pytest.mark.parametrize("features", [1, 3, 10, 40])
def test_square_reaches_every_feature_of_a_row(features):
    like = KINDS["rows"][0].take(np.zeros(2, dtype=int))
    like = Samples(
        inputs=np.zeros((2, features), np.float32), classes=like.classes, labels=like.labels
    )
    budget = Budget(norm="linf", epsilon=0.02)
    assert weak.check_attack("square", like, linear_target(np.ones(features)), budget) == 1.0


@pytest.mark.parametrize("name", list(attacks.ATTACKS))
def test_an_attack_breaks_a_weak_model_through_the_one_feature_it_may_change(name):
    like, open_target = KINDS["rows"]
    names = [str(index) for index in range(10)]
    reach = Reach.of_features(names, low=0, high=1, immutable=names[1:], bounds={"0": (0.4, 0.5)})
    target = Target(
        module=open_target.module, predict=open_target.predict, low=0.0, high=1.0, reach=reach
    )
    norm = attacks.ATTACKS[name].norms[0]
    budget = Budget(norm=norm, epsilon=1 if norm == "l0" else 0.05)
    assert weak.check_attack(name, like, target, budget) >= attacks.ATTACKS[name].breaks


def test_attacks_run_white_before_black_and_cheap_before_dear():
    order = [(attack.kind == "black", attack.cost) for attack in attacks.ATTACKS.values()]
    assert order == sorted(order)
    assert attacks.chosen(["square", "pgd", "autoattack", "fgsm"], "linf") == [
        "fgsm", "pgd", "apgd-ce", "apgd-t", "fab-t", "square",
    ]  # fmt: skip


def test_an_ensemble_brings_its_standard_effort():
    assert policy(0.1, attacks=("autoattack",)).budget(seed=0).queries == 5000
    assert policy(0.1, attacks=("autoattack",), steps=7).budget(seed=0).steps == 7
    assert policy(0.1).budget(seed=0).queries is None


def test_what_is_served_must_hold_too(weight):
    """A rule behind the network that is wrong about one group is as bad as a broken network."""
    samples = linear_samples(weight)
    samples = replace(samples, groups={"group": np.where(np.arange(200) < 50, "a", "b")})

    def serve(inputs, groups):
        right = np.eye(2)[((inputs - 0.5) @ np.asarray(weight) > 0).astype(int)]
        return np.where((groups["group"] == "a")[:, None], 1 - right, right)

    target = linear_target(weight)
    asked = policy(0.001, samples=200, sequential=False)
    network = robustness.judge(target, samples, asked)
    served = robustness.judge(replace(target, serve=serve), samples, asked)
    assert network.figures["clean"] == 1
    assert served.figures["clean"] == 0.75
    assert served.figures["robust_accuracy"] <= 0.75


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


def test_a_nearest_wrong_input_beyond_the_budget_breaks_nothing(monkeypatch, weight):
    def halfway(victim, samples, budget):
        moved = samples.inputs.copy()
        moved[::2] += np.float32(budget.epsilon)
        moved[1::2] += np.float32(3 * budget.epsilon)
        return moved

    attack = Attack(name="near", kind="white", meaning="", cost=1, generate=halfway, minimal=True)
    monkeypatch.setitem(attacks.ATTACKS, "near", attack)
    samples = linear_samples(weight)
    victim = Victim.of(linear_target(weight), samples)
    attacked = attacks.run("near", victim, samples, Budget(norm="linf", epsilon=0.02))
    assert (attacked[1::2] == samples.inputs[1::2]).all()
    assert (attacked[::2] > samples.inputs[::2]).all()


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
    ("change", "message"),
    [
        ({"attacks": ("fgsm", "foo")}, r"got attacks \['foo'\]"),
        ({"attacks": ("fgsm", "pgd")}, "black-box one"),
        ({"attacks": ("square",)}, "white-box one"),
        ({"attacks": ("autoattack",), "norm": "l0"}, "under the norm l0"),
        ({"epsilon": 0.0}, "greater than 0"),
        ({"epsilon": float("nan")}, "greater than 0"),
        ({"norm": "l0", "attacks": ("jsma", "sparse-rs"), "epsilon": 0.5}, "at least 1"),
        ({"figures": ("clever",)}, r"got figures \['clever'\]"),
        (
            {
                "norm": "l0",
                "attacks": ("jsma", "sparse-rs"),
                "epsilon": 3,
                "figures": ["clever_untargeted"],
            },
            "under the norm l0",
        ),
    ],
)
def test_a_policy_that_cannot_judge_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        policy(**({"epsilon": 0.1} | change))


def test_no_samples_are_refused(weight):
    empty = linear_samples(weight).take(np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="no samples"):
        robustness.judge(linear_target(weight), empty, policy(0.1))


def test_the_documentation_lists_every_attack_figure_and_corruption():
    text = (Path(__file__).parents[3] / "docs" / "reference" / "robustness.md").read_text()
    for name in (*attacks.ATTACKS, *attacks.ENSEMBLES, *figures.FIGURES, *CORRUPTIONS):
        assert f"`{name}`" in text
