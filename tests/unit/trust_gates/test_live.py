"""What a Python program holds is judged in three lines, as the same in files would be."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from gate_models import Linear, linear_samples
from sklearn.linear_model import LinearRegression, LogisticRegression

import trust_gates
from trust_gates.errors import GateError, PolicyError

WEIGHT = np.array([1.0, -2.0, 0.5, 3.0])
ACCURATE = {"gates": {"quality": {"checks": [{"metric": "accuracy", "atLeast": 0.8}]}}}
EXACT = {"gates": {"quality": {"checks": [{"metric": "r2", "atLeast": 0.9}]}}}
ROBUST = {
    "norm": "linf",
    "epsilon": 0.02,
    "attacks": ["fgsm", "pgd", "square"],
    "samples": 60,
    "checks": [{"metric": "robust_accuracy", "atLeast": 0.1}],
}
SAMPLES = linear_samples(WEIGHT, count=300)
NAMES = np.array(["no", "yes"])[SAMPLES.labels]


def frame(**columns):
    features = {name: SAMPLES.inputs[:, i] for i, name in enumerate("abcd")}
    return pd.DataFrame({**features, "label": NAMES, **columns})


def logits(inputs):
    score = (inputs - 0.5) @ WEIGHT
    return np.stack([-score, score], axis=1)


SCORES = ((SAMPLES.inputs - 0.5) @ WEIGHT).astype(np.float64)


class Scores(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, inputs):
        return ((inputs - 0.5) @ torch.tensor(WEIGHT, dtype=torch.float32)).reshape(self.shape)


def answered(verdict, name="accuracy"):
    return next(check.measured for check in verdict.checks if check.name == name)


def arrays():
    return {"inputs": SAMPLES.inputs, "labels": NAMES}


def test_importing_the_package_imports_nothing_else():
    code = "import sys, trust_gates; print({'numpy', 'pydantic', 'typer'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_a_function_a_network_and_an_estimator_are_judged_alike():
    fitted = LogisticRegression(C=1e6).fit(frame()[list("abcd")], NAMES)
    models = (logits, Linear(WEIGHT), fitted)
    found = [trust_gates.judge(model, frame(), ACCURATE) for model in models]
    assert all(verdict.passed for verdict in found)
    assert [answered(verdict) for verdict in found] == pytest.approx([1, 1, 1], abs=0.02)
    assert str(found[0]) == "passed"


@pytest.mark.parametrize("form", [tuple, dict])
def test_arrays_are_judged_as_a_frame_of_them(form):
    arrays = {"inputs": SAMPLES.inputs, "labels": NAMES}
    data = tuple(arrays.values()) if form is tuple else arrays
    found = trust_gates.judge(logits, data, ACCURATE)
    assert found.checks == trust_gates.judge(logits, frame(), ACCURATE).checks


def test_a_mapping_of_arrays_has_groups():
    fair = {
        "protected": "ward",
        "privileged": ["north"],
        "favorable": "yes",
        "checks": [{"metric": "statistical_parity_difference", "within": [-0.2, 0.2]}],
    }
    wards = np.where(SAMPLES.labels == 1, "north", "south")
    data = {"inputs": SAMPLES.inputs, "labels": NAMES, "protected_ward": wards}
    verdict = trust_gates.judge(logits, data, {"gates": {"fairness": fair}})
    assert not verdict.passed
    assert "failed: fairness: statistical_parity_difference: got -1" in str(verdict)


def test_a_frame_of_predictions_needs_no_model(tmp_path):
    said = frame(prediction=NAMES)[["label", "prediction"]]
    verdict = trust_gates.judge(None, said, ACCURATE, out=tmp_path / "report")
    assert verdict.passed
    document = json.loads((tmp_path / "report/verdict.json").read_bytes())
    assert document["passed"] is True and document["name"] == "data-frame"
    assert (tmp_path / "report/quality-calibration.png").is_file()


def test_paths_are_judged_as_the_command_judges_them(tmp_path):
    frame(prediction=NAMES)[["label", "prediction"]].to_csv(tmp_path / "p.csv", index=False)
    (tmp_path / "gates.yaml").write_text(json.dumps(ACCURATE))
    assert trust_gates.judge(None, str(tmp_path / "p.csv"), tmp_path / "gates.yaml").passed


@pytest.mark.parametrize(
    "model", [logits, Linear(WEIGHT).double().float()], ids=["function", "net"]
)
def test_what_is_attacked_may_be_in_memory(model):
    verdict = trust_gates.judge(model, (SAMPLES.inputs, NAMES), {"gates": {"robustness": ROBUST}})
    assert 0 < answered(verdict, "robust_accuracy") < 1, verdict


def test_a_network_trains_on_afterwards():
    network = torch.nn.Sequential(torch.nn.Dropout(0.5), Linear(WEIGHT)).train()
    assert trust_gates.judge(network, (SAMPLES.inputs, NAMES), ACCURATE).passed  # without dropout
    assert network.training and network[0].training


def test_classes_are_named_in_the_order_of_the_answers():
    def turned(inputs):
        return logits(inputs)[:, ::-1]

    def third(inputs):
        return np.concatenate([turned(inputs), np.full((len(inputs), 1), -9.0)], axis=1)

    data = (SAMPLES.inputs, NAMES)
    assert not trust_gates.judge(turned, data, ACCURATE).passed
    assert trust_gates.judge(turned, data, ACCURATE, classes=["yes", "no"]).passed
    assert trust_gates.judge(third, data, ACCURATE, classes=["yes", "no", "maybe"]).passed
    with pytest.raises(ValueError, match="answers about 3 classes, expected the 2 of the data"):
        trust_gates.judge(third, data, ACCURATE)
    with pytest.raises(ValueError, match="those of the labels among them"):
        trust_gates.judge(turned, data, ACCURATE, classes=["yes", "maybe"])


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression().fit(SAMPLES.inputs, SCORES),
        Scores(-1),
        Scores((-1, 1)),
        lambda rows: (rows - 0.5) @ WEIGHT,
    ],
    ids=["estimator", "net (N,)", "net (N, 1)", "function"],
)
@pytest.mark.parametrize(
    "data",
    [
        (SAMPLES.inputs, SCORES),
        {"inputs": SAMPLES.inputs, "targets": SCORES},
        frame(label=SCORES),
    ],
    ids=["tuple", "mapping", "frame"],
)
def test_a_regression_is_judged_on_its_numbers(model, data):
    assert answered(trust_gates.judge(model, data, EXACT), "r2") == pytest.approx(1)


def test_predictions_of_a_regression_need_no_model():
    said = pd.DataFrame({"label": SCORES, "prediction": SCORES + 0.01})
    assert trust_gates.judge(None, said, EXACT).passed


def test_columns_are_those_that_an_estimator_learned_from():
    fitted = LogisticRegression(C=1e6).fit(frame()[list("dbca")], NAMES)
    assert trust_gates.judge(fitted, frame(), ACCURATE).passed
    assert trust_gates.judge(fitted, (frame()[list("abcd")], NAMES), ACCURATE).passed
    with pytest.raises(ValueError, match=r"got data with the features \['a', 'b', 'c', 'e'\]"):
        trust_gates.judge(fitted, frame().rename(columns={"d": "e"}), ACCURATE)


class Scaling(Linear):
    """Scales what it is given in place, as code often does."""

    def forward(self, inputs):
        return super().forward(inputs.mul_(2).sub_(0.5))


def test_a_model_that_changes_its_inputs_in_place_changes_nobody_elses():
    def scaling(inputs):
        inputs *= 2
        inputs -= 0.5
        return logits(inputs)

    before = SAMPLES.inputs.copy()
    for model in (scaling, Scaling(WEIGHT)):
        assert trust_gates.judge(model, arrays(), ACCURATE).passed
        assert (SAMPLES.inputs == before).all()


@pytest.mark.parametrize(
    ("model", "data", "policy", "error", "words"),
    [
        (7, (SAMPLES.inputs, NAMES), ACCURATE, ValueError, "got a int as the model"),
        (None, (SAMPLES.inputs, NAMES), ACCURATE, ValueError, "got no model and arrays"),
        (logits, 7, ACCURATE, ValueError, "got a int as data"),
        (logits, {"inputs": [[1.0]]}, ACCURATE, ValueError, "got the keys"),
        (logits, {"inputs": 1, "labels": 2, "sex": 3}, ACCURATE, ValueError, "protected_<name>"),
        (logits, ([["a"]], ["x"]), ACCURATE, ValueError, "no numbers"),
        (logits, ([[np.nan]], ["x"]), ACCURATE, ValueError, "NaN or infinite"),
        (logits, ([1.0], ["x"]), ACCURATE, ValueError, "of shape"),
        (logits, (SAMPLES.inputs, NAMES[:9]), ACCURATE, ValueError, "got 9 entries of labels"),
        (
            logits,
            (SAMPLES.inputs, NAMES[:, None]),
            ACCURATE,
            ValueError,
            r"labels of shape \(300, 1",
        ),
        (logits, (SAMPLES.inputs, [None, *NAMES[1:]]), ACCURATE, ValueError, "no value of labels"),
        (
            logits,
            dict(arrays(), protected_sex=[np.nan] * 300),
            ACCURATE,
            ValueError,
            "of protected_s",
        ),
        (logits, frame(a=np.nan), ACCURATE, ValueError, "the value of 'a' is missing"),
        (logits, frame(), EXACT, ValueError, "got 'no' as the label, expected a finite number"),
        (
            logits,
            (SAMPLES.inputs, SCORES),
            EXACT,
            GateError,
            r"got answers of shape \(64, 2\), expected a number",
        ),
        (Linear(WEIGHT), (SAMPLES.inputs, SCORES), EXACT, ValueError, "got 2 answers for each"),
        (len, (SAMPLES.inputs, NAMES), EXACT, ValueError, "got labels that are no numbers"),
        (len, ([[1.0]], [np.inf]), EXACT, ValueError, "labels that are NaN or infinite"),
        (LogisticRegression(), frame(), ACCURATE, ValueError, "expected one that was fitted"),
        (LogisticRegression, frame(), ACCURATE, ValueError, "the class LogisticRegression"),
        (torch.nn.Linear(9, 2), frame(), ACCURATE, ValueError, "from Linear asked about float32"),
        (logits, frame(), {}, PolicyError, "gates"),
        (logits, frame(), {"gates": {}}, PolicyError, "got the gates"),
        (logits, frame(), {"gates": {"quality": {"checks": 1}}}, PolicyError, "checks"),
        (logits, frame(), {"gates": {"integrity": {}}}, ValueError, "paths of both"),
        (None, frame(), {"gates": {"robustness": ROBUST}}, ValueError, "got no model"),
        (lambda rows: rows[:, 0], frame(), ACCURATE, GateError, "answers of shape"),
        ("absent.onnx", frame(), ACCURATE, ValueError, "absent"),
    ],
)
def test_what_does_not_fit_is_told(model, data, policy, error, words):
    with pytest.raises(error, match=words):
        trust_gates.judge(model, data, policy)
