"""Figures have known values, the worst slice is named, and no version falls behind unnoticed."""

import numpy as np
import pytest
from gate_models import linear_samples, linear_target, required, spot_samples, spot_target
from scipy.special import softmax
from sklearn import metrics

from trust_gates import quality
from trust_gates.errors import GateError, PolicyError
from trust_gates.quality import Champion, calibration, slices
from trust_gates.quality.champion import Discordant
from trust_gates.quality.classification import Answers
from trust_gates.quality.detection import Answers as Claims
from trust_gates.quality.policy import Quality
from trust_gates.samples import Boxes, Samples
from trust_gates.statistics import proportion
from trust_gates.verdict import Outcome

CLASSES = ["a", "b", "c"]
RIVAL = {"margin": 0.02}


def policy(metric="accuracy", low=0.5, high=1.0, **more):
    return Quality(checks=[required(metric, low, high)], **more)


def labelled(labels, classes=CLASSES, **groups):
    return Samples(
        inputs=np.zeros((len(labels), 2), np.float32),
        classes=classes,
        labels=np.asarray(labels),
        groups={name: np.asarray(values) for name, values in groups.items()},
    )


def noisy(count=300, seed=0):
    """Samples of three uneven classes, and logits that are often right and often tied."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, size=count, p=[0.6, 0.3, 0.1])
    logits = np.round(generator.normal(size=(count, 3)) + 1.5 * np.eye(3)[labels], 1)
    return labelled(labels), logits


def answering(labels, right):
    """Logits that are right exactly where `right` says so, for two classes."""
    labels = np.asarray(labels)
    return np.eye(2)[np.where(right, labels, 1 - labels)] * 4.0


def outcomes(evidence):
    return {check.name: check.outcome for check in evidence.checks}


def test_a_classifiers_figures_are_scikit_learns():
    samples, logits = noisy()
    probabilities = softmax(logits, axis=1)
    evidence = quality.judge_answers(logits, samples, policy())
    predicted, truth = logits.argmax(axis=1), samples.labels
    expected = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "f1_macro": metrics.f1_score(truth, predicted, average="macro"),
        "auc": metrics.roc_auc_score(truth, probabilities, multi_class="ovr"),
        "log_loss": metrics.log_loss(truth, probabilities),
        "brier": np.mean(((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1)),
    }
    for name, value in expected.items():
        assert evidence.figures[name] == pytest.approx(value), name
    assert evidence.pictures["quality-calibration"].startswith(b"\x89PNG")


def confusion(seed, classes=5):
    """Samples and answers of a random confusion matrix with an empty row and an empty column.

    One class has no sample, another no claim; a third only one of each at most.
    """
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 12, size=(classes, classes))
    table[generator.integers(classes)] = 0
    table[:, generator.integers(classes)] = 0
    table[generator.integers(classes)] //= 6
    truth, said = (index.repeat(table.ravel()) for index in np.indices(table.shape).reshape(2, -1))
    logits = np.log(generator.dirichlet(np.ones(classes), size=len(truth)))
    best = logits.max(axis=1)
    rows = np.arange(len(truth))
    logits[rows, logits.argmax(axis=1)] = logits[rows, said]
    logits[rows, said] = best + 1e-6
    return labelled(truth, [str(label) for label in range(classes)]), logits


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn's, of classes without a sample
@pytest.mark.parametrize("seed", range(40))
def test_figures_are_scikit_learns_where_a_class_has_no_sample_or_no_claim(seed):
    samples, logits = confusion(seed)
    truth, said, shares = samples.labels, logits.argmax(axis=1), softmax(logits, axis=1)
    present = np.unique(truth)
    areas = [metrics.roc_auc_score(truth == label, shares[:, label]) for label in present]
    expected = {
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, said),
        "f1_macro": metrics.f1_score(truth, said, average="macro", zero_division=0),
        "auc": np.mean(areas),
        "log_loss": metrics.log_loss(truth, shares, labels=range(len(samples.classes))),
        "brier": np.mean(((shares - np.eye(len(samples.classes))[truth]) ** 2).sum(axis=1)),
    }
    answers = Answers.of(logits, samples)
    found = answers.figures(np.ones((1, len(samples))))
    assert {name: found[name][0] for name in expected} == pytest.approx(expected)
    recalls = metrics.recall_score(truth, said, average=None, labels=present)
    by_class = slices.of_classifier(answers, samples, 1).measures
    assert {name: one.value for name, one in by_class.items()} == pytest.approx(
        {f"class: {label}": recall for label, recall in zip(present, recalls, strict=True)}
    )


def test_a_class_that_is_only_claimed_counts_in_f1_macro():
    generator = np.random.default_rng(0)
    truth = generator.integers(2, size=400)
    said = np.where(generator.random(400) < 0.2, 2, truth)
    evidence = quality.judge_answers(8.0 * np.eye(3)[said], labelled(truth), policy("f1_macro"))
    expected = metrics.f1_score(truth, said, average="macro")
    assert expected < 0.6
    assert evidence.figures["f1_macro"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "low", "high"), [("accuracy", 0.0, 1.0), ("auc", 0.3, 1.0), ("log_loss", 0.0, 40.0)]
)
def test_a_policy_that_the_answers_to_other_samples_meet_is_a_wrong_one(metric, low, high):
    samples, logits = noisy()
    with pytest.raises(PolicyError, match="gates.quality asks for nothing: .* another sample"):
        quality.judge_answers(logits, samples, policy(metric, low, high))


def test_on_uneven_classes_an_accuracy_that_any_answers_reach_is_no_threshold():
    labels = np.repeat([0, 1], [1900, 100])
    samples, logits = labelled(labels, ["no", "yes"]), answering(labels, np.ones(2000, bool))
    with pytest.raises(PolicyError, match="asks for nothing"):
        quality.judge_answers(logits, samples, policy(low=0.85))
    both = Quality(checks=[required("accuracy", 0.85), required("balanced_accuracy", 0.8)])
    assert quality.judge_answers(logits, samples, both).outcome is Outcome.PASSED


def test_a_policy_that_other_images_boxes_meet_is_a_wrong_one():
    samples = spot_samples(60)
    with pytest.raises(PolicyError, match="gates.quality asks for nothing"):
        quality.judge_answers(shifted(samples, 0), samples, policy("recall", low=0.1))


def test_what_was_asked_is_told():
    samples, logits = noisy()
    found = quality.judge_answers(logits, samples, policy(champion=RIVAL, minimum_slice=20))
    sizes = np.bincount(samples.labels)
    assert dict(found.asked) == {
        "samples": "300",
        "samples of each class": f"a: {sizes[0]}, b: {sizes[1]}, c: {sizes[2]}",
        "smallest slice": "20 samples",
        "confidence": "0.95",
        "may lose against the served version": "0.02",
    }
    assert any(note.startswith("refused, as it must be: ") for note in found.notes)


def test_two_classes_have_one_auc():
    labels = np.random.default_rng(1).integers(2, size=100)
    logits = np.random.default_rng(2).normal(size=(100, 2)).round(1) + np.eye(2)[labels]
    expected = metrics.roc_auc_score(labels, softmax(logits, axis=1)[:, 1])
    evidence = quality.judge_answers(logits, labelled(labels, ["a", "b"]), policy())
    assert evidence.figures["auc"] == pytest.approx(expected)


def test_a_weight_counts_a_sample_that_many_times():
    samples, logits = noisy(60)
    weights = np.random.default_rng(3).integers(0, 4, size=60)
    repeated = np.repeat(np.arange(60), weights)
    weighted = Answers.of(logits, samples).figures(weights[None].astype(float))
    plain = Answers.of(logits[repeated], samples.take(repeated)).figures(
        np.ones((1, len(repeated)))
    )
    for name, value in plain.items():
        assert weighted[name] == pytest.approx(value), name


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False])
    error = calibration.error(np.ones((1, 4)), confidence, right, np.arange(4))
    assert error[0] == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert np.isnan(
        calibration.error(np.ones((1, 1)), np.array([np.nan]), right[:1], np.zeros(1, int))
    )


def test_overconfidence_is_refused_by_the_calibration_check():
    labels = np.arange(1200) % 2
    right = np.random.default_rng(0).random(1200) < 0.7
    logits = answering(labels, right)
    samples = labelled(labels, ["no", "yes"])
    assert outcomes(quality.judge_answers(logits, samples, policy("ece", low=0.0, high=0.1)))[
        "ece"
    ] is (Outcome.FAILED)
    modest = logits * np.log(0.7 / 0.3) / 4
    assert outcomes(quality.judge_answers(modest, samples, policy("ece", low=0.0, high=0.1)))[
        "ece"
    ] is (Outcome.PASSED)


def test_a_constant_predictor_is_refused_by_name():
    labels = np.r_[np.zeros(180, int), np.ones(20, int)]
    logits = np.tile([2.0, -1.0], (200, 1))
    evidence = quality.judge_answers(logits, labelled(labels, ["no", "yes"]), policy(low=0.8))
    assert outcomes(evidence) == {
        "accuracy": Outcome.PASSED,
        "constant_prediction": Outcome.FAILED,
        "non_finite_outputs": Outcome.PASSED,
    }
    assert evidence.figures["balanced_accuracy"] == 0.5


def test_answers_that_are_no_numbers_are_refused_by_name_and_never_right():
    samples, logits = noisy()
    logits = 5 * np.eye(3)[samples.labels]
    logits[:3, 0] = np.nan
    evidence = quality.judge_answers(logits, samples, policy("log_loss", low=0.0, high=9.0))
    assert outcomes(evidence)["non_finite_outputs"] is Outcome.FAILED
    assert outcomes(evidence)["log_loss"] is Outcome.FAILED
    assert evidence.figures["non_finite_outputs"] == 3
    assert evidence.figures["accuracy"] == pytest.approx(297 / 300)


def test_a_detector_that_always_claims_the_same_is_constant_and_nan_boxes_are_counted():
    samples = spot_samples(40)
    same = [Boxes(boxes=np.ones((1, 4)), labels=np.zeros(1, int), scores=np.ones(1))] * 40
    broken = [Boxes(boxes=np.full((1, 4), np.nan), labels=np.zeros(1, int), scores=np.ones(1))]
    for claims, name in ((same, "constant_prediction"), (same[1:] + broken, "non_finite_outputs")):
        evidence = quality.judge_answers(claims, samples, policy("recall"))
        assert outcomes(evidence)[name] is Outcome.FAILED


def test_the_worst_slice_is_named_and_judged():
    labels = np.arange(800) % 2
    night = np.arange(800) >= 400
    right = np.random.default_rng(0).random(800) < np.where(night, 0.7, 0.99)
    samples = labelled(
        labels, ["no", "yes"], light=np.where(night, "night", "day"), rare=["x"] * 9 + ["y"] * 791
    )
    evidence = quality.judge_answers(
        answering(labels, right), samples, policy("worst_slice_accuracy", low=0.8)
    )
    check = evidence.checks[0]
    assert check.outcome is Outcome.FAILED
    assert check.reason.startswith("worst_slice_accuracy (light: night): got 0.7")
    assert check.samples == 400
    assert evidence.tables[0].rows[0][0] == "light: night"
    assert "slices with fewer than 30 samples are not judged: rare: x (9)" in evidence.notes


def test_the_interval_of_the_worst_slice_corrects_for_the_choice():
    labels = np.arange(200) % 2
    right = np.random.default_rng(0).random(200) < 0.9
    samples = labelled(labels, ["no", "yes"])
    (check,) = quality.judge_answers(
        answering(labels, right), samples, policy("worst_slice_accuracy", low=0.5)
    ).checks[:1]
    counts = [int(right[labels == label].sum()) for label in (0, 1)]
    lows = [proportion(count, 100).interval(0.975).low for count in counts]
    assert check.interval.low == pytest.approx(min(lows))


def test_without_a_slice_that_is_large_enough_the_check_fails():
    samples, logits = noisy(40)
    evidence = quality.judge_answers(
        logits, samples, policy("worst_slice_accuracy", minimum_slice=39)
    )
    assert evidence.checks[0].outcome is Outcome.FAILED
    assert "no group or class has 39 samples or more" in evidence.checks[0].reason


def pair(count, gained, lost):
    """Two classifiers' logits on the same samples, and those samples; 80 % are right in both."""
    labels = np.arange(count) % 2
    now, before = (np.arange(count) < 0.8 * count for _ in range(2))
    now[-gained or count :] = True
    before[:lost] = True
    now[:lost] = False
    return answering(labels, now), answering(labels, before), labelled(labels, ["no", "yes"])


@pytest.mark.parametrize(
    ("count", "gained", "lost", "outcome"),
    [
        (1500, 8, 8, Outcome.PASSED),
        (1500, 0, 0, Outcome.PASSED),
        (1500, 0, 90, Outcome.FAILED),
        (100, 1, 1, Outcome.INSUFFICIENT),
    ],
)
def test_a_version_must_be_shown_to_be_no_worse_than_the_served_one(count, gained, lost, outcome):
    now, before, samples = pair(count, gained, lost)
    champion = Champion(version="abc", answers=before)
    evidence = quality.judge_answers(now, samples, policy(champion=RIVAL), champion=champion)
    assert outcomes(evidence)["gain_over_champion"] is outcome
    assert outcomes(evidence)["accuracy"] is Outcome.PASSED
    assert evidence.figures["champion_accuracy"] == pytest.approx(0.8)
    assert evidence.figures["gain_over_champion"] == pytest.approx((gained - lost) / count)


def test_a_first_release_has_no_champion_and_says_so():
    samples, logits = noisy()
    evidence = quality.judge_answers(logits, samples, policy(champion=RIVAL))
    assert "gain_over_champion" not in outcomes(evidence)
    assert evidence.notes[-1].startswith("no version is served yet")


def test_a_champion_that_cannot_be_asked_fails_the_check():
    samples, logits = noisy()
    champion = Champion(version="abc", missing="it wants pictures")
    evidence = quality.judge_answers(logits, samples, policy(champion=RIVAL), champion=champion)
    assert outcomes(evidence)["gain_over_champion"] is Outcome.FAILED
    spots = spot_samples(40)
    claims = spot_target().claims(spots.inputs)
    evidence = quality.judge_answers(
        claims, spots, policy("recall", champion=RIVAL), champion=champion
    )
    assert "it wants pictures" in evidence.checks[1].reason


def test_mcnemars_test_is_exact():
    assert Discordant(gained=1, lost=9, samples=100).mcnemar == pytest.approx(22 / 1024)
    assert Discordant(gained=0, lost=0, samples=100).mcnemar == 1


def test_the_paired_interval_is_tangos():
    # As R's PropCIs::scoreci.mp(25, 28, 618) and ratesci::pairbinci(c(1, 1, 7, 12)) have it.
    interval = Discordant(gained=28, lost=25, samples=618).gain.interval(0.90)
    assert (interval.low, interval.high) == pytest.approx((-0.0148, 0.0247), abs=5e-5)
    few = Discordant(gained=1, lost=7, samples=21).gain.interval(0.95)
    assert (few.low, few.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    swapped = Discordant(gained=25, lost=28, samples=618).gain.interval(0.90)
    assert (swapped.low, swapped.high) == pytest.approx((-interval.high, -interval.low))
    same = Discordant(gained=0, lost=0, samples=100).gain.interval(0.95)
    assert same.high == -same.low == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)
    assert Discordant(gained=50, lost=0, samples=50).gain.interval(0.95).high == 1


def test_the_paired_interval_keeps_its_confidence():
    generator = np.random.default_rng(0)
    tables = generator.multinomial(60, [0.06, 0.12, 0.82], size=500)
    held = 0
    for gained, lost, _ in tables:
        gain = Discordant(gained=int(gained), lost=int(lost), samples=60).gain.interval(0.9)
        held += gain.low <= -0.06 <= gain.high
    assert held / 500 > 0.87


def shifted(samples, pixels, missed=()):
    """Claims on every object, `pixels` beside it, and none on the images `missed`."""
    empty = Boxes(boxes=np.zeros((0, 4)), labels=np.zeros(0, int), scores=np.zeros(0))
    return [
        empty
        if index in missed
        else Boxes(
            boxes=image.boxes + np.array([pixels, 0, pixels, 0]),
            labels=image.labels,
            scores=np.full(len(image), 0.8 + index / 1000),
        )
        for index, image in enumerate(samples.objects)
    ]


def test_map_over_thresholds_falls_with_the_overlap_and_map50_does_not():
    samples = spot_samples(40)
    exact = quality.judge_answers(shifted(samples, 0), samples, policy("map50_95", low=0.9))
    assert exact.figures["map50_95"] == pytest.approx(1)
    assert exact.outcome is Outcome.PASSED
    beside = quality.judge_answers(shifted(samples, 2), samples, policy("map50_95"))
    # 6 of 8 columns are shared: IoU 0.6, which is enough for 0.50, 0.55 and 0.60.
    assert beside.figures["map50"] == pytest.approx(1)
    assert beside.figures["map50_95"] == pytest.approx(0.3)


def test_a_detectors_worst_slice_and_its_champion():
    plain = spot_samples(120)
    light = np.where(np.arange(120) < 60, "day", "night")
    samples = Samples(
        inputs=plain.inputs, classes=plain.classes, objects=plain.objects, groups={"light": light}
    )
    now, before = shifted(samples, 0, missed=range(60, 90)), shifted(samples, 0)
    evidence = quality.judge_answers(
        now,
        samples,
        policy("worst_slice_recall", low=0.8, champion=RIVAL),
        champion=Champion(version="abc", answers=before),
    )
    assert evidence.checks[0].reason.startswith("worst_slice_recall (light: night): got 0.500")
    assert outcomes(evidence)["gain_over_champion"] is Outcome.FAILED
    assert evidence.figures["gain_over_champion"] == pytest.approx(-0.25, abs=0.01)
    assert "class: other (0)" in evidence.notes[0]


def test_claims_are_calibrated_by_image():
    samples = spot_samples(40)
    answers = Claims.of(shifted(samples, 0), samples)
    figures = answers.figures(np.ones((1, 40)))
    assert figures["ece"][0] == pytest.approx(np.mean(1 - answers.confidence))


def test_a_model_is_asked_itself():
    weight = np.ones(4)
    evidence = quality.judge(linear_target(weight), linear_samples(weight), policy(low=0.9))
    assert evidence.outcome is Outcome.PASSED
    evidence = quality.judge(spot_target(), spot_samples(), policy("recall", low=0.9))
    assert evidence.outcome is Outcome.PASSED


def test_logits_of_other_classes_are_an_error():
    samples = linear_samples(np.ones(4))
    three = Samples(inputs=samples.inputs, classes=CLASSES, labels=samples.labels)
    with pytest.raises(GateError, match="got logits for 2 classes, expected 3: a, b, c"):
        quality.judge(linear_target(np.ones(4)), three, policy())


@pytest.mark.parametrize("metric", ["accuracy", "worst_slice_accuracy"])
def test_no_samples_fail(metric):
    samples = linear_samples(np.ones(4)).take(np.zeros(0, int))
    evidence = quality.judge(linear_target(np.ones(4)), samples, policy(metric))
    assert evidence.outcome is Outcome.FAILED
