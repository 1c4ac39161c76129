"""Native attacks are as strong as the answer in closed form and as ART's, within their limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, many_class_linear, small_convolution

from trust_gates.reach import Reach
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import attack
from trust_gates.robustness.native import balls, fab
from trust_gates.robustness.native.problem import Problem
from trust_gates.robustness.victim import Victim
from trust_gates.target import Target

NORMS = ("linf", "l2", "l1")
NATIVE = ("fgsm", "bim", "pgd", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square")
AUTOATTACK = attacks.ENSEMBLES["autoattack"].attacks


@pytest.mark.parametrize("norm", NORMS)
def test_the_robust_accuracy_of_a_linear_model_is_its_closed_form(norm):
    target, samples, distances = many_class_linear(norm)
    epsilon = float(np.quantile(distances, 0.4))
    budget = Budget(norm=norm, epsilon=epsilon, queries=200)
    attacked = attack(Victim.of(target, samples), samples, AUTOATTACK, budget)
    assert abs(int(attacked.held.sum()) - int((distances > epsilon).sum())) <= 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fgsm", "bim", "apgd-ce"])
def test_two_linear_classes_have_one_gradient_so_each_attack_alone_is_exact(name, norm):
    weight = np.random.default_rng(5).normal(size=12)
    samples = linear_samples(weight)
    dual = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
    distances = np.abs((samples.inputs - 0.5) @ weight) / np.linalg.norm(weight, ord=dual)
    epsilon = float(np.quantile(distances, 0.5))
    victim = Victim.of(linear_target(weight), samples)
    held = victim.held(
        attacks.run(name, victim, samples, Budget(norm=norm, epsilon=epsilon)), samples
    )
    assert abs(int(held.sum()) - int((distances > epsilon).sum())) <= 2


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_wrong_input_of_a_linear_model_is_at_its_exact_distance(norm):
    target, samples, distances = many_class_linear(norm, count=40)
    budget = Budget(norm=norm, epsilon=1e-6)
    (part,) = Problem.batches(Victim.of(target, samples), samples, budget)
    found = np.full(len(samples), np.inf)
    for targets in part.runners_up(4).T:
        aimed = part.take(torch.arange(len(part)))
        object.__setattr__(aimed, "targets", targets)
        found = np.minimum(found, fab.minimize(aimed, steps=30, random=False)[1].numpy())
    assert found == pytest.approx(distances, rel=0.02)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "bim"])
def test_an_attack_without_chance_makes_arts_very_inputs(name, norm):
    from art.attacks.evasion import (
        BasicIterativeMethod,
        FastGradientMethod,
        ProjectedGradientDescent,
    )

    target, samples = small_convolution(margin=0.2)  # where limits bind, ART clips and then scales
    victim = Victim.of(target, samples)
    epsilon, steps = (0.01, 8) if norm == "linf" else (0.1, 8)
    budget = Budget(norm=norm, epsilon=epsilon, steps=steps)
    order, step = budget.art_norm, 2.5 * epsilon / steps
    if name == "fgsm":
        art = FastGradientMethod(victim.estimator, norm=order, eps=epsilon)
    elif norm == "linf":
        art = BasicIterativeMethod(victim.estimator, epsilon, step, steps, verbose=False)
    else:
        art = ProjectedGradientDescent(
            victim.estimator, order, epsilon, step, max_iter=steps, verbose=False
        )
    theirs = art.generate(x=samples.inputs, y=victim.truth(samples))
    ours = attacks.run(name, victim, samples, budget)
    held = victim.held(ours, samples)
    assert (held == victim.held(theirs, samples)).all()
    assert 0 < held.sum() < len(samples)
    # A broken sample leaves early; the others take every step that ART's take.
    assert ours[held > 0] == pytest.approx(theirs[held > 0], abs=2e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 5])
def test_random_starts_break_as_many_as_arts(norm, classes):
    """More of five classes: ART's loss counts hopeless ones, as the logits are small."""
    from art.attacks.evasion import ProjectedGradientDescent

    target, samples = small_convolution(classes=classes)
    victim = Victim.of(target, samples)
    epsilon = 0.01 if norm == "linf" else 0.1
    budget = Budget(norm=norm, epsilon=epsilon)
    art = ProjectedGradientDescent(
        victim.estimator, budget.art_norm, epsilon, epsilon / 8, max_iter=20, num_random_init=1,
        verbose=False,
    )  # fmt: skip
    with attacks.seeded(0):
        theirs = victim.held(art.generate(x=samples.inputs, y=victim.truth(samples)), samples)
    ours = victim.held(attacks.run("pgd", victim, samples, budget), samples)
    more = int(theirs.sum()) - int(ours.sum())
    assert -1 <= more <= (1 if classes == 2 else 6)
    assert 0 < ours.sum() < len(samples)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NATIVE)
def test_an_attack_keeps_its_budget_and_uses_it(name, norm):
    target, samples = small_convolution()
    victim = Victim.of(target, samples)
    epsilon = {"linf": 0.03, "l2": 0.3, "l1": 3.0}[norm]
    attacked = attacks.run(name, victim, samples, Budget(norm=norm, epsilon=epsilon, steps=10))
    assert victim.held(attacked, samples).mean() < 0.9
    assert attacked.dtype == np.float32
    assert attacked.min() >= 0
    assert attacked.max() <= 1


@pytest.mark.parametrize("name", NATIVE)
def test_the_same_seed_makes_the_same_attack(name):
    target, samples = small_convolution()
    victim = Victim.of(target, samples)
    budget = Budget(norm="linf", epsilon=0.01, steps=5, queries=20, seed=3)
    first = attacks.run(name, victim, samples, budget)
    assert (first == attacks.run(name, victim, samples, budget)).all()


@pytest.mark.parametrize("name", NATIVE)
def test_immutable_features_stay_and_bounds_hold(name):
    features = [f"f{i}" for i in range(12)]
    weight = np.random.default_rng(1).normal(size=12)
    reach = Reach.of_features(
        features, low=0, high=1, immutable=["f0", "f7"], bounds={"f3": (0.45, 0.55)}
    )
    target = linear_target(weight)
    object.__setattr__(target, "reach", reach)
    samples = linear_samples(weight)
    attacked = attacks.run(
        name, Victim.of(target, samples), samples, Budget(norm="linf", epsilon=0.1)
    )
    changed = np.abs(attacked - samples.inputs).max(axis=0)
    assert (changed[[0, 7]] == 0).all()
    assert (np.delete(changed, [0, 7]) > 0).all()
    inside = (samples.inputs[:, 3] >= 0.45) & (samples.inputs[:, 3] <= 0.55)
    assert ((attacked[inside, 3] >= 0.45 - 1e-6) & (attacked[inside, 3] <= 0.55 + 1e-6)).all()


def test_a_broken_sample_is_asked_about_no_more():
    target, samples = small_convolution()
    asked = []

    def predict(inputs):
        asked.append(len(inputs))
        return target.module(inputs)

    watched = Target(module=target.module, predict=predict, low=0.0, high=1.0)
    victim = Victim.of(watched, samples)
    attacks.run("bim", victim, samples, Budget(norm="linf", epsilon=0.012))
    assert asked[0] == len(samples)
    assert asked == sorted(asked, reverse=True)
    assert asked[-1] < len(samples)


def test_only_survivors_meet_the_dearer_attack(monkeypatch):
    target, samples = small_convolution()
    victim = Victim.of(target, samples)
    met = {}
    run = attacks.run

    def watched(name, victim, part, budget):
        met[name] = len(part)
        return run(name, victim, part, budget)

    monkeypatch.setattr(attacks, "run", watched)
    attacked = attack(victim, samples, ["fgsm", "apgd-ce"], Budget(norm="linf", epsilon=0.01))
    assert met == {"fgsm": 60, "apgd-ce": int(attacked.after["fgsm"].sum())}
    assert (attacked.after["apgd-ce"] <= attacked.after["fgsm"]).all()


def test_no_samples_left_make_an_empty_attack():
    target, samples = small_convolution()
    none = samples.take(np.zeros(0, dtype=int))
    attacked = attacks.run("apgd-ce", Victim.of(target, none), none, Budget(norm="l2", epsilon=1.0))
    assert attacked.shape == (0, 2, 12, 12)


@pytest.mark.parametrize("norm", NORMS)
def test_a_projected_change_is_the_nearest_one_allowed(norm):
    generator = torch.Generator().manual_seed(0)
    change = torch.randn((50, 9), generator=generator)
    low, high = -torch.rand((50, 9), generator=generator), torch.rand((50, 9), generator=generator)
    low[:, 0] = high[:, 0] = 0
    projected = balls.project(change, norm, 0.8, low, high)
    assert (balls.size(projected, norm) <= 0.8 + 1e-5).all()
    assert ((projected >= low - 1e-6) & (projected <= high + 1e-6)).all()
    again = balls.project(projected, norm, 0.8, low, high)
    assert torch.allclose(projected, again, atol=1e-5)
    if norm != "l2":  # scaled and clipped, as AutoAttack does: allowed, not nearest
        for _ in range(200):
            other = torch.randn((50, 9), generator=generator) * 0.2 + projected
            other = balls.project(other, norm, 0.8, low, high)
            apart = (change - other).norm(dim=1) - (change - projected).norm(dim=1)
            assert (apart >= -1e-4).all()


@pytest.mark.parametrize("norm", NORMS)
def test_the_step_to_a_hyperplane_is_the_shortest_that_reaches_it(norm):
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn((40, 7), generator=generator)
    offset = torch.randn(40, generator=generator)
    low, high = torch.full((40, 7), -0.6), torch.full((40, 7), 0.6)
    change, length = balls.to_hyperplane(normal, offset, norm, low, high)
    reached = (normal * change).sum(dim=1)
    furthest = (normal.abs() * 0.6).sum(dim=1)
    assert torch.allclose(reached, offset.sign() * torch.minimum(offset.abs(), furthest), atol=1e-4)
    dual = {"linf": 1, "l2": 2, "l1": torch.inf}[norm]
    least = offset.abs() / torch.linalg.vector_norm(normal, ord=dual, dim=1)
    assert (length >= least - 1e-4)[offset.abs() < furthest].all()
    free = balls.to_hyperplane(normal, offset, norm, low * 99, high * 99)[1]
    assert torch.allclose(free, least, atol=1e-4)
