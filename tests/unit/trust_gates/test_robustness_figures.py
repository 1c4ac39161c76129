"""Each further figure of the robustness gate is the closed form's, or ART's, where there is one."""

from dataclasses import replace

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
from scipy.ndimage import gaussian_filter

from trust_gates import glossary, robustness
from trust_gates.robustness import ensemble, figures
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from trust_gates.robustness.figures.clever import Effort, scores
from trust_gates.robustness.native import balls, clever
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import median
from trust_gates.target import Target
from trust_gates.verdict import Outcome

WEIGHT = np.random.default_rng(5).normal(size=12)
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def scene(target, samples, norm="linf", epsilon=0.02, names=("fgsm", "pgd")):
    victim, budget = Victim.of(target, samples), Budget(norm=norm, epsilon=epsilon)
    attacked = ensemble.attack(victim, samples, names, budget)
    return figures.Scene(
        victim=victim, samples=samples, attacked=attacked, budget=budget, confidence=0.95
    )


def measured(name, *args, **more):
    (figure,) = figures.chosen([name], more.get("norm", "linf"))
    return figure.measure(scene(*args, **more)).measures[name]


def linear_distances(samples, norm):
    return np.abs((samples.inputs - 0.5) @ WEIGHT) / np.linalg.norm(WEIGHT, ord=DUAL[norm])


def test_every_figure_is_in_the_glossary():
    for name in figures.FIGURES:
        assert glossary.meaning(name)


@pytest.mark.parametrize("norm", list(DUAL))
def test_the_minimal_perturbation_of_a_linear_model_is_its_distance_to_the_border(norm):
    samples = linear_samples(WEIGHT)
    distances = linear_distances(samples, norm)
    found = measured("minimal_perturbation", linear_target(WEIGHT), samples, norm=norm)
    assert found.value == pytest.approx(np.median(distances), rel=0.02)
    interval = found.interval(0.95)
    assert interval.low < found.value < interval.high


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_empirical_robustness_is_arts_where_arts_is_exact(norm):
    from art.metrics import empirical_robustness

    samples = linear_samples(WEIGHT, count=40)
    victim = Victim.of(linear_target(WEIGHT), samples)
    order = Budget(norm=norm, epsilon=1).art_norm
    theirs = empirical_robustness(
        victim.estimator,
        samples.inputs,
        "fgsm",
        {"eps_step": 2e-4, "eps": 0.5, "norm": order, "batch_size": 64},
    )
    ours = measured("empirical_robustness", victim.target, samples, norm=norm)
    assert ours.value == pytest.approx(float(theirs), rel=0.03)


def test_a_sample_that_is_wrong_already_is_at_no_distance():
    samples = linear_samples(WEIGHT, count=40)
    wrong = replace(samples, labels=1 - samples.labels)
    for name in ("minimal_perturbation", "empirical_robustness", "clever_untargeted"):
        assert measured(name, linear_target(WEIGHT), wrong).value == 0


def test_loss_sensitivity_is_the_closed_form_and_arts():
    from art.metrics import loss_sensitivity

    samples = linear_samples(WEIGHT, count=60)
    score = (samples.inputs - 0.5) @ WEIGHT
    doubt = 1 / (1 + np.exp(2 * np.abs(score)))
    expected = float((doubt * 2 * np.linalg.norm(WEIGHT)).mean())
    found = measured("loss_sensitivity", linear_target(WEIGHT), samples)
    assert found.value == pytest.approx(expected, rel=1e-4)
    victim = Victim.of(linear_target(WEIGHT), samples)
    truth = victim.truth(samples)
    # One by one: ART's loss is a batch's mean, so its figure shrinks with the batch.
    theirs = [
        loss_sensitivity(victim.estimator, samples.inputs[[row]], truth[[row]]) for row in range(60)
    ]
    assert found.value == pytest.approx(float(np.mean(theirs)), rel=1e-4)


def test_the_reduction_in_confidence_of_a_linear_model_is_its_closed_form():
    samples, epsilon = linear_samples(WEIGHT), 0.02
    margin = np.abs((samples.inputs - 0.5) @ WEIGHT)
    drop = epsilon * np.abs(WEIGHT).sum()
    alive = margin > drop

    def confidence(score):
        return 1 / (1 + np.exp(-2 * score))

    expected = (confidence(margin) - confidence(margin - drop))[alive].mean()
    found = measured("confidence_reduction", linear_target(WEIGHT), samples, epsilon=epsilon)
    assert found.value == pytest.approx(float(expected), abs=0.01)
    assert found.samples == pytest.approx(alive.sum(), abs=2)


def test_where_nothing_survives_no_reduction_in_confidence_can_be_measured():
    found = measured(
        "confidence_reduction", linear_target(WEIGHT), linear_samples(WEIGHT), epsilon=0.3
    )
    assert np.isnan(found.value)
    assert "survived" in found.missing


@pytest.mark.parametrize("norm", list(DUAL))
def test_clever_of_a_linear_model_is_the_distance_to_each_border(norm):
    target, samples, distances = many_class_linear(norm, count=12)
    victim, radius = Victim.of(target, samples), float(np.quantile(distances, 0.7))
    found = scores(
        victim,
        samples,
        Budget(norm=norm, epsilon=1.0),
        radius=radius,
        effort=Effort(batches=10, size=8, pool=5),
    )
    assert found.score.min(axis=1) == pytest.approx(np.minimum(distances, radius), rel=1e-3)
    assert found.error == pytest.approx(0, abs=1e-6)
    logits = target.logits(samples.inputs)
    assert (found.targets[:, -1] == logits.argmin(axis=1)).all()


def test_clever_of_a_model_whose_slopes_are_no_numbers_is_none():
    module = torch.nn.Linear(2, 2)

    def predict(x):
        return module(x) + (x - x.detach()).sqrt()  # whose slope at 0 is infinite, and 0 times it

    inputs = np.full((2, 2), 0.5, np.float32)
    target = Target(module=module, predict=predict, low=0.0, high=1.0)
    labels = target.logits(inputs).argmax(axis=1)
    samples = Samples(inputs=inputs, classes=["a", "b"], labels=labels)
    found = scores(
        Victim.of(target, samples),
        samples,
        Budget(norm="l2", epsilon=1.0),
        radius=0.1,
        effort=Effort(batches=5, size=4, pool=3),
    )
    assert np.isnan(found.score).all()


def test_clever_of_a_network_is_arts_within_what_arts_own_seeds_differ():
    from art.metrics import clever_u

    target, samples = small_convolution()
    samples = samples.take(np.arange(1))
    victim, effort = Victim.of(target, samples), Effort(batches=20, size=20, pool=5)
    theirs = []
    for seed in range(5):
        np.random.seed(seed)
        theirs.append(clever_u(victim.estimator, samples.inputs[0], 20, 20, 0.2, 2, pool_factor=5,
                               verbose=False))  # fmt: skip
    ours = [
        scores(victim, samples, Budget(norm="l2", epsilon=1, seed=s), radius=0.2, effort=effort)
        for s in range(5)
    ]
    own = np.median([found.score.min() for found in ours])
    sane = [score for score in theirs if score > 0]  # a fit that ran away says nothing
    assert min(sane) * 0.97 <= own <= max(sane) * 1.03


def test_the_end_of_a_reverse_weibull_distribution_is_found():
    generator = np.random.default_rng(0)
    drawn = 5 - 0.4 * generator.weibull(1.5, size=(200, 30))
    ends = clever.weibull_end(drawn)
    assert (ends >= drawn.max(axis=0)).all()
    assert np.abs(ends - 5).mean() < 0.05
    assert clever.weibull_end(np.full((20, 1), 3.0)) == [3.0]


@pytest.mark.parametrize("norm", list(DUAL))
def test_points_are_uniform_in_the_ball(norm):
    like = torch.zeros(4000, 3)
    points = clever.uniform(like, norm, torch.Generator().manual_seed(0))
    sizes = balls.size(points, norm)
    assert sizes.max() <= 1 + 1e-6
    # Half of the radius holds an eighth of the volume of three dimensions.
    assert float((sizes <= 0.5).float().mean()) == pytest.approx(1 / 8, abs=0.02)


def test_the_medians_interval_holds_as_often_as_it_says():
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        interval = median(generator.exponential(size=41)).interval(0.9)
        inside += interval.low <= np.log(2) <= interval.high
    assert inside / 400 >= 0.88
    assert median(np.full(3, 2.0)).interval(0.95).high == np.inf  # three values say too little


@pytest.mark.parametrize("kind", list(CORRUPTIONS))
@pytest.mark.parametrize("shape", [(2, 1, 9, 8), (2, 3, 70, 72)])
def test_a_corruption_grows_with_its_severity_and_repeats_itself(kind, shape):
    rough = np.random.default_rng(1).random(shape)
    images = gaussian_filter(rough, sigma=(0, 0, shape[2] / 20, shape[2] / 20))
    images = 0.1 + 0.6 * (images - images.min()) / np.ptp(images)
    changes = []
    for severity in SEVERITIES:
        corrupted = corrupt(kind, images, severity, seed=0)
        assert corrupted.shape == shape
        assert 0 <= corrupted.min() <= corrupted.max() <= 1
        assert (corrupted == corrupt(kind, images, severity, seed=0)).all()
        changes.append(np.abs(corrupted - images).mean())
    assert changes[-1] > 0.005
    assert changes[-1] >= changes[0]


@pytest.mark.parametrize(
    ("kind", "shape", "severity", "message"),
    [
        ("rain", (1, 1, 8, 8), 1, "got the corruption 'rain'"),
        ("fog", (1, 1, 8, 8), 6, "got severity 6"),
        ("fog", (1, 8), 1, "expected images"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(kind, shape, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(kind, np.zeros(shape), severity, seed=0)


def test_the_worst_corruption_is_the_one_that_leaves_least():
    target, samples = small_convolution()
    (figure,) = figures.chosen(["corruption_accuracy"], "linf")
    found = figure.measure(scene(target, samples.take(np.arange(20)), names=("fgsm",)))
    mean, worst = found.measures.values()
    assert worst.value < mean.value < 1
    (table,) = found.tables
    assert [row[0] for row in table.rows] == list(CORRUPTIONS)
    shares = np.array([row[1:] for row in table.rows])
    assert shares.mean() == pytest.approx(mean.value)
    assert shares.mean(axis=1).min() == pytest.approx(worst.value)
    interval = worst.interval(0.95)
    assert interval.low <= worst.value <= interval.high


def test_a_detector_is_judged_under_corruption_too_and_by_nothing_else():
    policy = Robustness(
        checks=[required("corruption_accuracy", low=0.5)],
        epsilon=0.02,
    )
    evidence = robustness.judge(spot_target(), spot_samples(), policy)
    check = evidence.checks[0]
    assert (check.name, check.samples) == ("corruption_accuracy", 40)
    assert "robust_map50_95" in evidence.figures
    with pytest.raises(ValueError, match="for detection"):
        robustness.judge(
            spot_target(),
            spot_samples(),
            policy.model_copy(update={"figures": ("clever_untargeted",)}),
        )


def test_a_required_figure_is_measured_on_all_samples_and_decided_by_its_interval():
    samples = linear_samples(WEIGHT, count=60)
    distance = float(np.median(linear_distances(samples, "linf")))
    policy = Robustness(
        checks=[
            required("minimal_perturbation", low=distance / 3),
            required("robust_accuracy", low=0.5),
        ],
        epsilon=0.001,
        figures=("loss_sensitivity",),
    )
    evidence = robustness.judge(linear_target(WEIGHT), samples, policy)
    assert [check.samples for check in evidence.checks[:2]] == [60, 60]
    assert evidence.outcome is Outcome.PASSED
    assert evidence.figures["loss_sensitivity"] > 0
    assert evidence.pictures["robustness-distances"].startswith(b"\x89PNG")
    assert "robustness-distances" in evidence.captions
