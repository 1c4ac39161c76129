"""The attacks of the older literature reach what the closed form, or ART's version, reaches."""

import logging

import numpy as np
import pytest
import torch
from gate_models import (
    linear_samples,
    linear_target,
    many_class_linear,
    required,
    small_convolution,
)

from trust_gates import robustness
from trust_gates.reach import Reach
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.native import hopskipjump
from trust_gates.robustness.native.problem import Problem
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.target import Target
from trust_gates.verdict import Outcome

WEIGHT = np.random.default_rng(5).normal(size=12)
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def right(name, target, samples, norm, epsilon, **more):
    victim, budget = Victim.of(target, samples), Budget(norm=norm, epsilon=epsilon, **more)
    return int(victim.held(attacks.run(name, victim, samples, budget), samples).sum())


@pytest.mark.parametrize(
    ("name", "norm", "off"),
    [
        ("deepfool", "linf", 1),
        ("deepfool", "l2", 1),
        ("deepfool", "l1", 1),
        ("newtonfool", "l2", 4),  # its last step lands somewhat beyond the border
        ("cw", "linf", 2),
        ("cw", "l2", 2),
        ("vat", "linf", 1),
        ("vat", "l2", 1),
        ("hopskipjump", "linf", 8),
        ("hopskipjump", "l2", 5),
    ],
)
def test_the_robust_accuracy_of_a_linear_model_is_its_closed_form(name, norm, off):
    samples = linear_samples(WEIGHT, count=100)
    distances = np.abs((samples.inputs - 0.5) @ WEIGHT) / np.linalg.norm(WEIGHT, ord=DUAL[norm])
    epsilon = float(np.quantile(distances, 0.5))
    expected = int((distances > epsilon).sum())
    # Never fewer than can be: then the budget would be broken.
    assert expected - 1 <= right(name, linear_target(WEIGHT), samples, norm, epsilon)
    assert right(name, linear_target(WEIGHT), samples, norm, epsilon) <= expected + off


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_deepfool_goes_exactly_as_far_as_a_linear_model_of_many_classes_asks(norm):
    target, samples, distances = many_class_linear(norm, count=40)
    victim = Victim.of(target, samples)
    moved = attacks.ATTACKS["deepfool"].generate(victim, samples, Budget(norm=norm, epsilon=9))
    found = np.linalg.norm(
        moved - samples.inputs, ord=Budget(norm=norm, epsilon=9).art_norm, axis=1
    )
    assert found == pytest.approx(distances, rel=0.02)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_universal_change_breaks_every_sample_of_one_class_that_any_change_could(norm):
    samples = linear_samples(WEIGHT)
    samples = samples.take(np.flatnonzero(samples.labels == 1))
    distances = np.abs((samples.inputs - 0.5) @ WEIGHT) / np.linalg.norm(WEIGHT, ord=DUAL[norm])
    epsilon = float(np.quantile(distances, 0.5))
    held = right("universal", linear_target(WEIGHT), samples, norm, epsilon)
    assert abs(held - int((distances > epsilon).sum())) <= 3


def test_a_universal_change_is_one_and_the_same_for_all():
    samples = linear_samples(WEIGHT, count=50)
    victim = Victim.of(linear_target(WEIGHT), samples)
    moved = attacks.run("universal", victim, samples, Budget(norm="linf", epsilon=0.05))
    assert np.ptp(moved - samples.inputs, axis=0).max() < 1e-6


@pytest.mark.parametrize(("name", "most"), [("jsma", 1.02), ("sparse-rs", 1.15)])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_under_l0_no_more_values_change_than_allowed_and_the_best_ones_do(name, most, count):
    samples = linear_samples(WEIGHT)
    margins = np.abs((samples.inputs - 0.5) @ WEIGHT)
    towards = np.where(samples.labels == 1, -1, 1)[:, None] * WEIGHT
    gains = np.where(towards > 0, 1 - samples.inputs, samples.inputs) * np.abs(towards)
    gained = np.sort(gains, axis=1)[:, -count:].sum(axis=1)
    expected = int((gained < margins).sum())
    held = right(name, linear_target(WEIGHT), samples, "l0", count)
    assert expected <= held <= most * expected + 4


def test_without_a_value_to_change_nothing_changes_under_l0():
    samples = linear_samples(WEIGHT, count=10)
    victim = Victim.of(linear_target(WEIGHT), samples)
    for name in ("jsma", "sparse-rs"):
        moved = attacks.run(name, victim, samples, Budget(norm="l0", epsilon=0.5))
        assert (moved == samples.inputs).all()


def test_noise_under_l0_changes_as_many_values_as_it_may():
    samples = linear_samples(WEIGHT, count=20)
    victim = Victim.of(linear_target(WEIGHT), samples)
    moved = attacks.noise(victim, samples, Budget(norm="l0", epsilon=3))
    assert ((moved != samples.inputs).sum(axis=1) == 3).all()


@pytest.mark.parametrize("name", [attack.name for attack in attacks.CLASSIC] + ["hopskipjump"])
def test_features_out_of_reach_stay_as_they_are(name):
    samples = linear_samples(WEIGHT, count=40)
    names = [str(index) for index in range(12)]
    reach = Reach.of_features(names, low=0, high=1, immutable=names[:6], bounds={"7": (0.45, 0.55)})
    plain = linear_target(WEIGHT)
    target = Target(module=plain.module, predict=plain.predict, low=0.0, high=1.0, reach=reach)
    norm = attacks.ATTACKS[name].norms[0]
    budget = Budget(norm=norm, epsilon=3 if norm == "l0" else 0.2)
    victim = Victim.of(target, samples)
    moved = attacks.ATTACKS[name].generate(victim, samples, budget)  # before it is pulled back
    assert (moved[:, :6] == samples.inputs[:, :6]).all()
    room = samples.inputs[:, 7].clip(max=0.45), samples.inputs[:, 7].clip(min=0.55)
    assert ((moved[:, 7] >= room[0] - 1e-6) & (moved[:, 7] <= room[1] + 1e-6)).all()
    assert victim.held(attacks.run(name, victim, samples, budget), samples).sum() < 40


@pytest.mark.parametrize("name", list(attacks.ATTACKS))
def test_every_attack_breaks_a_part_of_a_network_and_repeats_itself(name):
    target, samples = small_convolution()
    samples, norm = samples.take(np.arange(12)), attacks.ATTACKS[name].norms[-1]
    epsilon = {"linf": 0.02, "l2": 0.15, "l1": 1.5, "l0": 4}[norm]
    held = right(name, target, samples, norm, epsilon, queries=300, steps=20)
    assert held < len(samples)
    assert held == right(name, target, samples, norm, epsilon, queries=300, steps=20)


def arts(name, victim):
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    logits = victim.target.module
    soft = PyTorchClassifier(
        torch.nn.Sequential(logits, torch.nn.Softmax(dim=1)),
        loss=torch.nn.NLLLoss(),
        input_shape=victim.shape,
        nb_classes=victim.classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    options = {"batch_size": 64, "verbose": False}
    return {
        "deepfool": lambda: evasion.DeepFool(victim.estimator, **options),
        "newtonfool": lambda: evasion.NewtonFool(soft, **options),
        "cw": lambda: evasion.CarliniL2Method(victim.estimator, **options),
    }[name]()


@pytest.mark.parametrize("name", ["deepfool", "newtonfool", "cw"])
def test_an_attack_is_as_strong_as_arts_within_its_budget(name):
    logging.disable(logging.WARNING)
    target, samples = small_convolution()
    samples = samples.take(np.arange(16))
    victim, epsilon = Victim.of(target, samples), 0.15
    with attacks.seeded(0):
        theirs = arts(name, victim).generate(samples.inputs.copy())
    sizes = np.linalg.norm((theirs - samples.inputs).reshape(16, -1), axis=1)
    held = victim.held(theirs, samples) | (sizes > epsilon * 1.0001)
    logging.disable(logging.NOTSET)
    assert right(name, target, samples, "l2", epsilon) <= held.sum() + 1


def test_hopskipjump_finds_the_borders_normal_by_decisions_alone():
    samples = linear_samples(WEIGHT, count=20)
    victim = Victim.of(linear_target(WEIGHT), samples)
    (part,) = Problem.batches(victim, samples, Budget(norm="l2", epsilon=0.1))
    away = torch.as_tensor(np.where(samples.labels == 1, -1, 1)[:, None] * WEIGHT).float()
    margins = torch.as_tensor(np.abs((samples.inputs - 0.5) @ WEIGHT)).float()
    on_border = away * (margins / away.square().sum(dim=1))[:, None] * 1.0001
    normal = hopskipjump._normal(part, on_border, torch.full((20,), 0.01), 400)
    cosine = (normal * away).sum(dim=1) / away.norm(dim=1)
    assert cosine.mean() > 0.9


def test_hopskipjump_gives_up_where_no_input_is_wrong():
    target = Target(
        module=torch.nn.Identity(), predict=lambda x: x[:, :2] * 0 + 1.0, low=0.0, high=1.0
    )
    samples = linear_samples(WEIGHT, count=6)
    samples = samples.take(np.flatnonzero(samples.labels == 0))
    victim = Victim.of(target, samples)
    moved = attacks.run("hopskipjump", victim, samples, Budget(norm="l2", epsilon=0.1))
    assert (moved == samples.inputs).all()


def test_a_random_search_that_beats_a_greedy_one_under_l0_is_no_sign_of_masking():
    target, samples = small_convolution()
    policy = Robustness(
        checks=[required("robust_accuracy", low=0.9)],
        norm="l0",
        epsilon=3,
        attacks=("jsma", "sparse-rs"),
        samples=30,
    )
    evidence = robustness.judge(target, samples, policy)
    assert not [note for note in evidence.notes if "black-box" in note]
    assert evidence.checks[0].outcome is Outcome.FAILED
