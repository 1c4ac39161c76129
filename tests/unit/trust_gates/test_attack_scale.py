"""Neither the scale of a model's logits nor the units of a table's columns are robustness."""

import numpy as np
import pytest
import torch
from gate_models import linear_samples, many_class_linear, required

from trust_gates import robustness
from trust_gates.errors import PolicyError
from trust_gates.inputs import dataset, opaque
from trust_gates.policy import Setting
from trust_gates.reach import Reach
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.native import balls, losses
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.spread import spread
from trust_gates.target import Target

FACTORS = (1, 3, 5, 50, 0.01)


def judged(target, whole, setting=Setting(), **more):
    policy = Robustness(
        checks=[required("robust_accuracy", low=0.3)], **({"sequential": False} | more)
    )
    return robustness.judge(target, whole, policy, setting)


def trained(classes):
    """A small network that has learned which of some points an input is nearest to."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    points = generator.uniform(0.3, 0.7, size=(classes, 8))
    inputs = generator.uniform(0.2, 0.8, size=(300, 8)).astype(np.float32)
    labels = ((inputs[:, None] - points) ** 2).sum(axis=2).argmin(axis=1)
    layers = torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, classes)
    module = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(200):
        answers = module(torch.from_numpy(inputs))
        loss = torch.nn.functional.cross_entropy(answers, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    names = [str(index) for index in range(classes)]
    return module.requires_grad_(False), Samples(inputs=inputs, classes=names, labels=labels)


@pytest.mark.long
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_factor_of_the_logits_changes_no_verdict(norm, classes):
    module, samples = trained(classes)
    epsilon = {"linf": 0.03, "l2": 0.08, "l1": 0.2}[norm]
    found = []
    for factor in FACTORS:
        target = Target(module=module, predict=lambda x, f=factor: f * module(x), low=0.0, high=1.0)
        evidence = judged(target, samples, norm=norm, epsilon=epsilon, samples=100)
        assert evidence.figures["gradient_masking"] == 0, (factor, evidence.notes)
        found.append(evidence.figures["robust_accuracy"])
    assert 0.1 < found[0] < 0.9
    assert found == pytest.approx([found[0]] * len(FACTORS), abs=0.021)


@pytest.mark.parametrize("name", [n for n, a in attacks.ATTACKS.items() if a.kind == "white"])
def test_every_attack_that_follows_a_gradient_is_as_strong_on_a_confident_model(name):
    module, samples = trained(2)
    samples = samples.take(np.arange(60))
    norm = "l0" if name == "jsma" else attacks.ATTACKS[name].norms[-1]
    epsilon = {"linf": 0.03, "l2": 0.08, "l1": 0.2, "l0": 1}[norm]
    held = []
    for factor in FACTORS:
        target = Target(module=module, predict=lambda x, f=factor: f * module(x), low=0.0, high=1.0)
        victim, budget = Victim.of(target, samples), Budget(norm=norm, epsilon=epsilon)
        held.append(int(victim.held(attacks.run(name, victim, samples, budget), samples).sum()))
    assert held == pytest.approx([held[0]] * len(FACTORS), abs=2)


def test_the_loss_has_the_cross_entropys_direction_and_rises_with_it():
    target, samples, _ = many_class_linear("linf")
    inputs = torch.from_numpy(samples.inputs).requires_grad_()
    labels = torch.from_numpy(samples.labels)
    logits = target.predict(inputs)
    plain = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    ours = losses.cross_entropy(logits, labels, labels)
    assert torch.allclose(ours.exp().log1p(), plain, atol=1e-5)
    directions = [
        balls.direction(torch.autograd.grad(loss.sum(), inputs, retain_graph=True)[0])
        for loss in (plain, ours)
    ]
    assert torch.allclose(*directions, atol=1e-4)


def test_a_step_has_its_length_however_small_the_gradient():
    gradient = torch.tensor([[3e-30, -4e-30], [0.0, 0.0], [3e30, 4e30]])
    assert balls.direction(gradient).tolist() == pytest.approx(
        np.array([[0.6, -0.8], [0, 0], [0.6, 0.8]])
    )
    normal, offset = torch.tensor([[3e-20, 4e-20]]), torch.tensor([5e-20])
    wide = torch.full((1, 2), 9.0)
    for norm, length in (("linf", 5 / 7), ("l2", 1.0), ("l1", 1.25)):
        assert float(balls.to_hyperplane(normal, offset, norm, -wide, wide)[1]) == pytest.approx(
            length
        )


def window(inputs):
    """Two classes: is the second value from 0.3 to 0.7? The first value has no say."""
    share = inputs[:, 1].astype(np.float64)
    score = 4 * np.tanh(10 * (share - 0.3)) - 4 * np.tanh(10 * (share - 0.7)) - 4
    return np.stack([-score, score], axis=1)


def table(tmp_path, factor, more=""):
    generator = np.random.default_rng(0)
    share, income = generator.uniform(size=(2, 300)).round(6)
    labels = ((share > 0.3) & (share < 0.7)).astype(int)
    rows = [
        f"{i * factor:.6f},{s},{more}{k}" for i, s, k in zip(income, share, labels, strict=True)
    ]
    path = tmp_path / f"{factor}.csv"
    header = "income,share," + "constant," * bool(more) + "label"
    path.write_text("\n".join([header, *rows]) + "\n")
    return dataset.read(path)


def asked_of(found, **more):
    target = opaque.target(window, low=found.low, high=found.high, spread=found.spread)
    object.__setattr__(target, "reach", found.reach)
    setting = Setting(features=found.features)
    return judged(target, found.samples, setting, epsilon=0.05, samples=200, **more)


@pytest.mark.parametrize(
    ("factor", "more"),
    [
        pytest.param(1, {}, id="scaled"),
        pytest.param(-18000, {}, id="negative"),
        pytest.param(100_000, {}, id="hundred thousands"),
        pytest.param(100_000, {"immutable": ["income"]}, id="out of reach"),
        pytest.param(100_000, {"norm": "l2"}, id="l2"),
        pytest.param(100_000, {"attacks": ["pgd", "hopskipjump"]}, id="hopskipjump"),
        pytest.param(100_000, {"attacks": ["autoattack"], "queries": 200}, id="autoattack"),
    ],
)
def test_a_column_in_other_units_leaves_the_verdict_as_it_is(tmp_path, factor, more):
    found = table(tmp_path, factor)
    share, right = found.samples.inputs[:, 1], found.samples.labels == 1
    near = np.abs(np.abs(share - 0.5) - 0.2) <= 0.05
    exact = 1 - (near | ((window(found.samples.inputs)[:, 1] > 0) != right)).mean()
    evidence = asked_of(found, **more)
    assert evidence.figures["robust_accuracy"] == pytest.approx(exact, abs=0.03)
    assert evidence.figures["gradient_masking"] == 0, evidence.notes
    said = [one for one in evidence.warnings if "scale the columns" in one]
    assert bool(said) == (abs(factor) > 1 and "immutable" not in more)
    assert all("of income" in one for one in said)


def test_a_column_that_never_varies_can_be_moved_and_breaks_nothing(tmp_path):
    found = table(tmp_path, 100_000, more="7,")
    assert (found.reach.low[2], found.reach.high[2]) == (0, 14)
    assert found.spread.tolist() == pytest.approx([90_000, 0.9, 7], rel=0.05)
    evidence = asked_of(found)
    assert evidence.figures["gradient_masking"] == 0
    assert evidence.figures["robust_accuracy"] == pytest.approx(
        asked_of(table(tmp_path, 1)).figures["robust_accuracy"], abs=0.03
    )


def test_a_sentinel_does_not_hide_how_far_a_column_varies():
    inputs = np.random.default_rng(0).uniform(size=(100, 2)).astype(np.float32)
    inputs[3, 0] = 999_999
    assert spread(inputs, 0, 999_999).tolist() == pytest.approx([0.9, 0.9], abs=0.1)
    assert spread(np.zeros((3, 1, 2, 2)), 0, 1).tolist() == [[[1, 1], [1, 1]]]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [1e-9, 1e-12])
def test_an_epsilon_that_float32_cannot_tell_from_nothing_is_the_policys_fault(norm, epsilon):
    module, samples = trained(2)
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    with pytest.raises(PolicyError, match=r"leaves an attacker nothing: got epsilon 1e-\d+"):
        judged(target, samples, norm=norm, epsilon=epsilon)


def test_bounds_without_room_are_the_policys_fault():
    module, samples = trained(2)
    target = Target(module=module, predict=module, low=0.0, high=1.0)
    features = tuple("abcdefgh")
    bounds = dict.fromkeys(features, (0.5, 0.5))
    with pytest.raises(ValueError, match="bounds without room between them"):
        judged(target, samples, Setting(features=features), epsilon=0.1, bounds=bounds)
    bounds["a"] = (0.5, 0.5 + 1e-7)
    with pytest.raises(PolicyError, match="leaves an attacker nothing"):
        judged(target, samples, Setting(features=features), epsilon=0.1, bounds=bounds)


def test_rounding_is_no_broken_budget_and_more_than_that_is(tmp_path):
    found = table(tmp_path, 100_000)
    victim = Victim.of(
        Target(module=torch.nn.Identity(), predict=window, low=0.0, high=1e5, reach=found.reach),
        found.samples,
    )
    moved = found.samples.inputs.copy()
    moved[:, 0] += np.float32(0.05)
    budget = Budget(norm="linf", epsilon=0.05)
    assert attacks._sizes(found.samples.inputs, moved, budget).max() <= 0.0501
    moved[:, 1] += np.float32(0.06)
    assert attacks._sizes(found.samples.inputs, moved, budget).max() > 0.0599
    assert victim.limits[1].tolist() == found.reach.high.tolist()


def test_observed_limits_put_nothing_out_of_everyones_reach():
    samples = linear_samples(np.ones(3))
    seen = Reach.of_rows(samples.inputs)
    assert seen.observed
    declared = Reach.of_features(list("abc"), low=0, high=1, immutable=["a"])
    assert not declared.within(seen).observed
