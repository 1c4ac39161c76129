"""Data that was tampered with is refused by the check meant for it; sound data passes."""

import dataclasses

import numpy as np
import pytest
from gate_models import required
from sklearn.datasets import load_diabetes, load_digits
from test_gate_integrity import SPLITS, failed, rows, subject  # noqa: F401
from test_gate_integrity import model as model  # noqa: PLC0414 (a fixture)

from trust_gates import integrity
from trust_gates.integrity import data, labels
from trust_gates.integrity.policy import Integrity
from trust_gates.samples import Boxes, Samples
from trust_gates.verdict import Outcome


def with_inputs(samples, inputs):
    return dataclasses.replace(samples, inputs=inputs)


def digits(count=900, seed=0):
    inputs, truth = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(inputs))[:count]
    images = (inputs[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return Samples(inputs=images, labels=truth[order], classes=[str(n) for n in range(10)])


def cut(samples, at):
    index = np.arange(len(samples))
    return {"train": samples.take(index[:at]), "test": samples.take(index[at:])}


def test_a_test_sample_that_was_learned_from_is_found(model):
    test = SPLITS["test"]
    inputs = test.inputs.copy()
    inputs[1], inputs[2] = SPLITS["train"].inputs[5], SPLITS["validation"].inputs[0]
    evidence = integrity.judge(subject(model, splits={**SPLITS, "test": with_inputs(test, inputs)}))
    assert (
        "got 2, expected <= 0: test sample 1; test sample 2"
        in (failed(evidence)["leaked_test_samples"])
    )


def test_minus_zero_is_the_same_sample_as_zero():
    zeros = Samples(inputs=np.zeros((1, 2), np.float32), labels=np.array([0]), classes=["a"])
    found = data.leaked({"train": zeros, "test": with_inputs(zeros, -zeros.inputs)})
    assert found.items == ["test sample 0"]


@pytest.mark.parametrize("splits", [{}, {"train": SPLITS["train"]}, {"test": SPLITS["test"]}])
def test_nothing_to_compare_fails(model, splits):
    evidence = integrity.judge(subject(model, splits=splits))
    assert "no samples to compare" in failed(evidence)["leaked_test_samples"]
    assert evidence.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: with_inputs(s, np.full_like(s.inputs, np.nan)), "not finite"),
        (lambda s: with_inputs(s, np.full_like(s.inputs, np.inf)), "outside [0, 1]"),
        (lambda s: with_inputs(s, s.inputs * 2), "outside [0, 1]"),
        (lambda s: with_inputs(s, s.inputs.astype(np.float64)), "float64, expected float32"),
        (lambda s: with_inputs(s, s.inputs[:, :3]), "expected one"),
        (lambda s: dataclasses.replace(s, labels=s.labels + 1), "labels that name no class"),
        (lambda s: dataclasses.replace(s, labels=s.labels - 1), "labels that name no class"),
    ],
)
def test_data_that_breaks_the_schema_is_refused(model, change, message):
    splits = {**SPLITS, "train": change(SPLITS["train"])}
    evidence = integrity.judge(subject(model, splits=splits))
    assert message in failed(evidence)["schema_violations"]
    assert "single_feature_accuracy" not in {check.name for check in evidence.checks}


def test_an_empty_class_and_an_empty_group_are_named(model):
    only = dataclasses.replace(SPLITS["test"], labels=np.zeros(80, dtype=np.int64))
    only = dataclasses.replace(only, groups={"sex": np.full(80, "a")})
    reason = failed(integrity.judge(subject(model, splits={**SPLITS, "test": only})))
    assert "test has no sample of class yes" in reason["empty_groups"]
    assert "test has no sample of sex b" in reason["empty_groups"]


def test_a_detectors_classes_are_those_of_its_objects(model):
    box = Boxes(boxes=np.array([[0.0, 0, 4, 4]]), labels=np.array([0]))
    generator = np.random.default_rng(0)
    splits = {
        name: Samples(
            inputs=generator.random((40, 3, 8, 8), dtype=np.float32),
            classes=["spot", "other"],
            objects=[box] * 40,
        )
        for name in ("train", "test")
    }
    evidence = integrity.judge(subject(model, splits=splits, groups={}))
    assert failed(evidence).keys() == {"empty_groups"}
    assert "train has no sample of class other" in failed(evidence)["empty_groups"]
    assert "for classifiers only" in " ".join(evidence.notes)


@pytest.mark.parametrize(
    "copied",
    [
        lambda x, g: x,
        lambda x, g: np.clip(x * 0.9 + 0.05, 0, 1),
        lambda x, g: np.clip(x + g.normal(0, 0.005, x.shape), 0, 1),
        lambda x, g: np.round(x * 64) / 64,
    ],
    ids=["equal", "other contrast", "faint noise", "coarser levels"],
)
def test_altered_copies_of_images_are_near_duplicates(model, copied):
    splits = cut(digits(), 700)
    inputs = splits["test"].inputs.copy()
    generator = np.random.default_rng(0)
    inputs[:50] = copied(splits["train"].inputs[:50], generator)
    near = data.near_duplicates(
        {**splits, "test": with_inputs(splits["test"], inputs.astype(np.float32))}, 0.0, 1.0
    )
    assert 0.23 <= near.value <= 0.27


def test_digits_written_twice_are_no_duplicates():
    assert data.near_duplicates(cut(digits(1700), 1200), 0.0, 1.0).value == 0


def test_rows_that_differ_in_the_last_digit_are_near_duplicates(model):
    inputs = SPLITS["test"].inputs.copy()
    inputs[:20] = np.round(SPLITS["train"].inputs[:20], 3) + np.float32(1e-5)
    splits = {**SPLITS, "test": with_inputs(SPLITS["test"], inputs)}
    reason = failed(integrity.judge(subject(model, splits=splits)))
    assert "near_duplicate_rate: got 0.2" in reason["near_duplicate_rate"]


@pytest.mark.parametrize("kinds", [2, 3])
def test_a_feature_that_is_the_label_under_another_name_is_refused(model, kinds):
    def planted(samples):
        inputs = samples.inputs.copy()
        samples = dataclasses.replace(
            samples, labels=np.arange(len(samples)) % kinds, classes=list("abc"[:kinds])
        )
        inputs[:, 2] = samples.labels / kinds
        return with_inputs(samples, inputs)

    splits = {name: planted(samples) for name, samples in SPLITS.items()}
    names = ("age", "height", "diagnosis_code", "weight")
    evidence = integrity.judge(subject(model, splits=splits, features=names))
    reason = failed(evidence)["single_feature_accuracy"]
    assert "(feature diagnosis_code): got 1, expected" in reason


def test_a_rare_class_does_not_make_every_feature_a_leak():
    train = dataclasses.replace(rows(400, 0), labels=(np.arange(400) % 100 == 0).astype(int))
    test = dataclasses.replace(rows(400, 1), labels=(np.arange(400) % 100 == 0).astype(int))
    measure = labels.single_feature(train, test, (), seed=0)
    assert measure.value < 0.95


def noisy(samples, share, seed=0):
    generator = np.random.default_rng(seed)
    wrong = generator.random(len(samples)) < share
    shift = generator.integers(1, len(samples.classes), len(samples))
    changed = (samples.labels + wrong * shift) % len(samples.classes)
    return dataclasses.replace(samples, labels=changed)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_label_noise_is_estimated(share):
    samples = noisy(digits(1200), share)
    measure = labels.noise(samples, samples.inputs, seed=0)
    assert abs(measure.value - share) < 0.05
    assert measure.interval(0.95).low < measure.value < measure.interval(0.95).high


def test_label_noise_has_a_bound_only_where_the_policy_gives_one(model):
    splits = cut(noisy(digits(), 0.2), 700)
    tampered = subject(model, splits=splits, groups={})
    assert "label_noise" not in failed(integrity.judge(tampered))
    bound = required("label_noise", high=0.05)
    evidence = integrity.judge(tampered, Integrity(checks=[bound]))
    assert "label_noise" in failed(evidence)


def test_too_few_samples_of_a_class_leave_the_noise_unknown():
    few = dataclasses.replace(rows(40, 0), labels=(np.arange(40) == 3).astype(int))
    measure = labels.noise(few, few.inputs, seed=0)
    assert np.isnan(measure.value)
    assert "every class needs" in measure.missing


def test_a_bound_on_what_a_detector_has_not_fails(model):
    bound = required("label_noise", high=0.05)
    evidence = integrity.judge(
        subject(model, splits={"test": SPLITS["test"]}), Integrity(checks=[bound])
    )
    assert "could not be measured" in failed(evidence)["label_noise"]


def test_real_patients_pass(model):
    table = load_diabetes(scaled=False)
    low, high = table.data.min(axis=0), table.data.max(axis=0)
    patients = Samples(
        inputs=((table.data - low) / (high - low)).astype(np.float32),
        labels=(table.target > np.median(table.target)).astype(np.int64),
        classes=["slower", "faster"],
    )
    evidence = integrity.judge(subject(model, splits=cut(patients, 330), groups={}))
    assert failed(evidence) == {}
