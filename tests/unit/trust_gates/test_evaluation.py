"""The organisation's evaluation data: put in the model's order by name, named in every figure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, required, spot_samples, spot_target
from pydantic import ValidationError

from touchstone.training import dataset
from touchstone.training.dataset import Dataset
from trust_gates import evaluation, fairness, quality, robustness
from trust_gates.errors import PolicyError
from trust_gates.evaluation import Evaluation
from trust_gates.fairness.policy import Fairness
from trust_gates.inputs.description import Description
from trust_gates.metric import of_evaluation, on_evaluation, plain
from trust_gates.quality.policy import Quality
from trust_gates.recomputed import recomputed
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Boxes, Samples
from trust_gates.verdict import Outcome

DIGEST = "sha256:" + "1" * 64
WEIGHT = np.ones(4)
POLICY = Quality(checks=[required("accuracy", 0.7)])
DESCRIPTION = Description(
    task="classification",
    classes=("no", "yes"),
    inputs={"shape": [2], "low": 0.0, "high": 1.0, "features": ["age", "pay"]},
    protected={"sex": ("f", "m")},
    seed=0,
)


@pytest.mark.parametrize(
    "uri",
    [
        "file://relative.csv",
        "http://host/a.csv",
        "s3://b/a.csv",
        "a.csv",
        "https:///a",
        "https://name:secret@host/a.csv",
    ],
)
def test_an_address_is_an_absolute_path_or_a_host_over_https(uri):
    with pytest.raises(ValidationError):
        Evaluation(uri=uri, digest=DIGEST)
    assert Evaluation(uri="file:///data/a.csv", digest=DIGEST) == Evaluation(
        uri="file:///data/a.csv", digest=DIGEST
    )


def test_columns_classes_and_groups_are_put_in_the_models_order_by_name(tmp_path):
    path = tmp_path / "e.csv"
    path.write_text("pay,label,age,protected_sex,protected_town\n0.25,yes,0.5,m,x\n0.5,yes,1,f,y\n")
    found = evaluation.read(path, DESCRIPTION)
    assert found.inputs.tolist() == [[0.5, 0.25], [1.0, 0.5]]
    assert list(found.classes) == ["no", "yes"] and list(found.labels) == [1, 1]
    assert {name: list(values) for name, values in found.groups.items()} == {"sex": ["m", "f"]}


def test_a_dataset_folder_is_read_by_its_test_split(tmp_path):
    other = Description(
        task="classification",
        classes=("yes", "no"),
        inputs={**DESCRIPTION.inputs, "features": ["pay", "age"]},
        protected={"sex": ("m", "f")},
        seed=0,
    )
    arrays = {
        "inputs": np.array([[0.25, 0.5]], np.float32),
        "labels": np.array([0]),
        "protected_sex": np.array([0]),
    }
    dataset.write(tmp_path, Dataset(other, {"test": arrays}))
    found = evaluation.read(tmp_path, DESCRIPTION)
    assert found.inputs.tolist() == [[0.5, 0.25]]
    assert (list(found.labels), list(found.groups["sex"])) == ([1], ["m"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pay,label,age\n0.2,maybe,0.5\n", r"got classes \['maybe'\], expected \['no', 'yes'\]"),
        ("pay,label\n0.2,yes\n", r"got features \['pay'\], expected \['age', 'pay'\]"),
        ("pay,label,age\n20,yes,0.5\n", "got inputs from 0.5 to 20.0, expected some from 0 to 1"),
        (
            "pay,label,age,protected_sex\n1,yes,1,d\n",
            r"values of sex \['d'\], expected \['f', 'm'\]",
        ),
        ("pay,age\n1,1\n", "cannot be read: .* expected one named 'label'"),
    ],
)
def test_data_that_do_not_fit_are_refused_with_both(tmp_path, text, says):
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(PolicyError, match=says):
        evaluation.read(path, DESCRIPTION)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "detection"}, "got task classification, expected detection"),
        ({"inputs": {"shape": [3], "low": 0, "high": 1}}, r"shape \(2,\), expected \(3,\)"),
    ],
)
def test_another_task_or_shape_is_refused(tmp_path, changes, says):
    path = tmp_path / "e.csv"
    path.write_text("pay,label,age\n0.2,yes,0.5\n")
    known = {name: getattr(DESCRIPTION, name) for name in ("task", "classes", "inputs")}
    description = Description(**{**known, **changes}, protected={}, seed=0)
    with pytest.raises(PolicyError, match=says):
        evaluation.read(path, description)


def both(authors, organisations):
    target = linear_target(WEIGHT)
    found = [quality.judge(target, one, POLICY) for one in (authors, organisations)]
    return evaluation.joined(*found, DIGEST)


def noise(count=200):
    plain = linear_samples(WEIGHT, count, seed=5)
    labels = np.random.default_rng(0).integers(2, size=count)
    return Samples(inputs=plain.inputs, classes=plain.classes, labels=labels)


def test_both_must_pass_and_what_rests_on_whose_data_is_told():
    found = both(linear_samples(WEIGHT), noise())
    by_name = {check.name: check for check in found.checks}
    assert by_name["accuracy"].outcome is Outcome.PASSED
    assert by_name["accuracy[evaluation]"].outcome is Outcome.FAILED
    assert by_name["accuracy[evaluation]"].reason.startswith("accuracy[evaluation]: got 0.")
    assert found.outcome is Outcome.FAILED
    assert found.figures["f1_macro"] == 1.0 and found.figures["f1_macro[evaluation]"] < 0.7
    assert set(found.pictures) == {"quality-calibration", "quality-calibration-evaluation"}
    assert set(found.captions) == set(found.pictures)
    assert found.tables[1].title.endswith("on the organisation's evaluation data")
    rests_on = dict(found.asked)["judged on"]
    assert "from load_data of the judged commit" in rests_on
    assert f"[evaluation] on the organisation's evaluation data, {DIGEST}" in rests_on
    assert "evaluation: samples of each class" in dict(found.asked)
    assert found.warnings == []


def test_figures_of_the_author_alone_are_told_to_be_the_authors_word():
    found = evaluation.told(quality.judge(linear_target(WEIGHT), linear_samples(WEIGHT), POLICY))
    assert "load_data of the judged commit" in dict(found.asked)["judged on"]
    assert "figures rest on the author's own test split" in found.warnings[0]


@pytest.mark.parametrize("metric", ["accuracy", "accuracy[day]", "accuracy[yes: day]"])
def test_the_name_of_a_check_keeps_its_metric_and_its_comparison(metric):
    name = on_evaluation(metric)
    assert plain(name) == "accuracy" and of_evaluation(name)
    assert not of_evaluation(metric)
    assert metric.partition("[")[2] in name


def test_evidence_without_the_checks_of_the_evaluation_data_fails():
    whole = both(linear_samples(WEIGHT), linear_samples(WEIGHT, seed=3))
    assert recomputed(whole, POLICY, confidence=0.95, evaluation=True).outcome is Outcome.PASSED
    alone = quality.judge(linear_target(WEIGHT), linear_samples(WEIGHT), POLICY)
    lacking = recomputed(alone, POLICY, confidence=0.95, evaluation=True)
    absent = {check.name for check in lacking.checks if check.outcome is Outcome.FAILED}
    assert absent == {
        f"{name}[evaluation]"
        for name in (
            "accuracy",
            "answers_differ_by_company",
            "constant_prediction",
            "non_finite_outputs",
        )
    }
    theirs = [check for check in whole.checks if of_evaluation(check.name)]
    lacking = recomputed(replace(whole, checks=theirs), POLICY, confidence=0.95, evaluation=True)
    assert "accuracy" in {one.name for one in lacking.checks if one.outcome is Outcome.FAILED}


def test_each_comparison_of_groups_has_its_check_on_the_evaluation_data():
    samples = linear_samples(WEIGHT, 400)
    samples = Samples(
        inputs=samples.inputs,
        classes=samples.classes,
        labels=samples.labels,
        groups={"sex": np.where(np.arange(400) % 2, "f", "m")},
    )
    policy = Fairness(
        protected="sex",
        privileged=["f"],
        favorable="yes",
        checks=[required("statistical_parity_difference", -0.5, 0.5)],
    )
    found = fairness.judge(linear_target(WEIGHT), samples, policy)
    whole = evaluation.joined(found, found, DIGEST)
    assert recomputed(whole, policy, confidence=0.95, evaluation=True).outcome is Outcome.PASSED
    assert recomputed(found, policy, confidence=0.95, evaluation=True).outcome is Outcome.FAILED


def test_the_true_boxes_never_reach_the_detectors_code():
    plain_samples = spot_samples(40)
    truth = [Boxes(boxes=one.boxes + 0.5, labels=one.labels) for one in plain_samples.objects]
    samples = Samples(inputs=plain_samples.inputs, classes=plain_samples.classes, objects=truth)
    sound, given = spot_target(), []

    def loss(inputs, boxes, labels):
        given.append(boxes)
        return sound.loss(inputs, boxes, labels)

    target = type(sound)(module=sound.module, predict=sound.predict, loss=loss, low=0.0, high=1.0)
    policy = Robustness(
        epsilon=0.1, attacks=["fgsm", "pgd", "square"], checks=[required("robust_recall", 0.1)]
    )
    robustness.judge(target, samples, policy)
    assert given
    assert all(torch.equal(boxes, boxes.round()) for boxes in given)
