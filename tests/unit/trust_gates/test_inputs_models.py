"""Models that only answer: gradients are right where they are smooth, and honest elsewhere."""

import pickle

import numpy as np
import pytest
import torch
from gate_models import Linear, linear_samples, linear_target, required

from trust_gates import outside, robustness
from trust_gates.errors import GateError, PolicyError
from trust_gates.inputs import opaque
from trust_gates.robustness.policy import Robustness
from trust_gates.verdict import Outcome

WEIGHT = np.array([1.0, -2.0, 0.5, 3.0])


def _answer(inputs):
    with torch.no_grad():
        return Linear(WEIGHT)(torch.from_numpy(inputs)).numpy()


def _curved(inputs):
    return np.stack([np.sin(3 * inputs[:, 0]) * inputs[:, 1], inputs[:, 0] ** 2], axis=1)


def _gradient(answer, inputs, weight):
    tensor = torch.from_numpy(inputs).requires_grad_()
    logits = opaque.target(answer, low=0, high=1).predict(tensor)
    (logits * torch.from_numpy(weight)).sum().backward()
    return tensor.grad.numpy()


def test_differences_are_the_gradient_of_a_smooth_model():
    generator = np.random.default_rng(0)
    inputs = generator.uniform(size=(5, 2)).astype(np.float32)
    weight = generator.normal(size=(5, 2))
    x, y = inputs.astype(np.float64).T
    exact = np.stack(
        [
            weight[:, 0] * 3 * np.cos(3 * x) * y + weight[:, 1] * 2 * x,
            weight[:, 0] * np.sin(3 * x),
        ],
        axis=1,
    )
    assert _gradient(_curved, inputs, weight) == pytest.approx(exact, abs=1e-4)


def test_a_batch_larger_than_one_question_gets_the_same_gradient(monkeypatch):
    inputs = np.random.default_rng(0).uniform(size=(9, 4)).astype(np.float32)
    weight = np.ones((9, 2)) * [1, -1]
    whole = _gradient(_answer, inputs, weight)
    monkeypatch.setattr(opaque, "_ROWS", 20)
    assert _gradient(_answer, inputs, weight) == pytest.approx(whole)


def test_too_many_inputs_are_refused_before_they_take_hours():
    inputs = np.zeros((1, 3, 32, 32), dtype=np.float32)
    with pytest.raises(GateError, match="inputs of 3072 values, expected at most 1024"):
        _gradient(lambda x: x.reshape(len(x), -1)[:, :2], inputs, np.ones((1, 2)))


def test_probabilities_become_logarithms_and_logits_stay():
    assert opaque.log_probabilities(np.array([[0.25, 0.75]])) == pytest.approx(
        np.log([[0.25, 0.75]])
    )
    assert opaque.log_probabilities(np.array([[3.0, -1.0]])).tolist() == [[3.0, -1.0]]
    with pytest.raises(GateError, match="expected \\(samples, classes\\)"):
        opaque.log_probabilities(np.zeros(3))


def _policy():
    return Robustness(
        checks=[required("robust_accuracy", low=0.1)],
        epsilon=0.02,
        samples=100,
    )


def _robustness(target):
    evidence = robustness.judge(target, linear_samples(WEIGHT, count=150), _policy())
    return {check.name: check for check in evidence.checks}


def test_a_model_that_only_answers_is_as_robust_as_with_its_own_gradients():
    asked = _robustness(opaque.target(_answer, low=0, high=1))
    whole = _robustness(linear_target(WEIGHT))
    assert 0.3 < whole["robust_accuracy"].measured < 0.95
    assert asked["robust_accuracy"].measured == pytest.approx(
        whole["robust_accuracy"].measured, abs=0.011
    )
    assert asked["gradient_masking"].outcome is Outcome.PASSED


@pytest.fixture
def data(tmp_path):
    samples = linear_samples(WEIGHT, count=60)
    rows = [
        ",".join(map(repr, map(float, row))) + f",{samples.classes[label]}"
        for row, label in zip(samples.inputs, samples.labels, strict=True)
    ]
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,d,label\n" + "\n".join(rows) + "\n")
    return path


def _save_onnx(path, *, inputs=(("x", ["N", 4]),), classes=2):
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.stack([-WEIGHT, WEIGHT, WEIGHT * 0][:classes], axis=1).astype(np.float32)
    bias = -0.5 * weight.sum(axis=0)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("y", kind, ["N", classes])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_an_onnx_model_is_asked(tmp_path, data):
    pytest.importorskip("onnxruntime")
    subject = outside.open_subject(_save_onnx(tmp_path / "m.onnx"), data)
    samples = subject.data.samples
    assert subject.target.logits(samples.inputs) == pytest.approx(_answer(samples.inputs), abs=1e-5)
    assert "differences" in subject.notes[0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"inputs": (("x", [1, 4]),)},
            "tensor\\(float\\) or tensor\\(int64\\) with a dynamic batch",
        ),
        ({"inputs": (("x", ["N", 4]), ("z", ["N", 4]))}, "got the inputs"),
        ({"classes": 1}, "got the outputs"),
        ({"classes": 3}, "tells 3 classes apart, expected the 2 of the data: no, yes"),
    ],
)
def test_an_onnx_model_of_another_shape_is_refused(tmp_path, data, options, problem):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=problem):
        subject = outside.open_subject(_save_onnx(tmp_path / "m.onnx", **options), data)
        subject.target.logits(subject.data.samples.inputs)


def _save_words(path):
    """Of five words each one's logits, added up."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    table = np.stack([np.arange(5.0) - 2, 2 - np.arange(5.0)], axis=1).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["w", "x"], ["v"]),
            helper.make_node("ReduceSum", ["v", "axis"], ["y"], keepdims=0),
        ],
        "words",
        [helper.make_tensor_value_info("x", kinds.INT64, ["N", 4])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["N", 2])],
        [
            onnx.numpy_helper.from_array(table, "w"),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def test_an_onnx_model_of_tokens_is_asked_and_says_that_it_cannot_be_attacked(tmp_path, data):
    pytest.importorskip("onnxruntime")
    model, words = _save_words(tmp_path / "m.onnx"), tmp_path / "words.csv"
    with pytest.raises(ValueError, match="m.onnx takes tokens \\(int64\\), got data that are none"):
        outside.open_subject(model, data)
    words.write_text("a,b,c,d,label\n" + "1,2,3,4,no\n0,0,1,2,yes\n" * 20)
    subject = outside.open_subject(model, words)
    samples = subject.data.samples
    assert subject.target.logits(samples.inputs[:2]).tolist() == [[2, -2], [-5, 5]]
    with pytest.raises(PolicyError, match="judges a model of tokens from its embedding on"):
        robustness.judge(subject.target, samples, _policy())


def test_a_broken_onnx_file_is_refused(tmp_path, data):
    pytest.importorskip("onnxruntime")
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="expected an ONNX model"):
        outside.open_subject(tmp_path / "m.onnx", data)


def _fitted(data):
    from sklearn.linear_model import LogisticRegression

    from trust_gates.inputs import dataset

    samples = dataset.read(data).samples
    labels = np.array(samples.classes)[samples.labels]
    return LogisticRegression(C=100).fit(samples.inputs, labels), samples


def test_a_scikit_learn_model_is_asked(tmp_path, data):
    import skops.io as skops

    model, samples = _fitted(data)
    skops.dump(model, tmp_path / "m.skops")
    subject = outside.open_subject(tmp_path, data)
    logits = subject.target.logits(samples.inputs)
    assert np.exp(logits) == pytest.approx(model.predict_proba(samples.inputs), abs=1e-6)


@pytest.mark.parametrize("factor", [1, 50])
def test_a_sure_scikit_learn_model_is_attacked_by_its_scores(tmp_path, data, factor):
    import skops.io as skops

    model, samples = _fitted(data)
    model.coef_, model.intercept_ = factor * model.coef_, factor * model.intercept_
    skops.dump(model, tmp_path / "m.skops")
    target = outside.open_subject(tmp_path, data).target
    scores = model.decision_function(samples.inputs)
    logits = target.logits(samples.inputs)
    assert logits[:, 1] - logits[:, 0] == pytest.approx(scores, rel=1e-4, abs=1e-3)
    assert np.exp(logits) == pytest.approx(model.predict_proba(samples.inputs), abs=1e-4)
    policy = Robustness(checks=[required("robust_accuracy", low=0.1)], epsilon=0.02)
    masking = robustness.judge(target, samples, policy).checks[-1]
    assert masking.outcome is Outcome.PASSED


@pytest.mark.filterwarnings("error:X does not have valid feature names")
def test_a_scikit_learn_model_is_asked_by_the_names_that_it_learned(tmp_path, data):
    import pandas as pd
    import skops.io as skops
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    typed = pd.read_csv(data)
    names = [name for name in typed.columns if name != "label" and name[:10] != "protected_"]
    chosen = ColumnTransformer([("scaled", StandardScaler(), names[:2])])
    model = make_pipeline(chosen, LogisticRegression()).fit(typed[names], typed["label"])
    skops.dump(model, tmp_path / "m.skops")
    typed[typed.columns[::-1]].to_csv(tmp_path / "turned.csv", index=False)
    typed.rename(columns={names[0]: "other"}).to_csv(tmp_path / "other.csv", index=False)
    expected = model.predict_proba(typed[names])
    for table in (data, tmp_path / "turned.csv"):
        subject = outside.open_subject(tmp_path / "m.skops", table)
        logits = subject.target.logits(subject.data.samples.inputs)
        assert np.exp(logits) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="got data with the features .*'other'"):
        outside.open_subject(tmp_path / "m.skops", tmp_path / "other.csv")


def test_a_scikit_learn_models_classes_are_put_in_the_order_of_the_data(tmp_path, data):
    import skops.io as skops

    from trust_gates.inputs import sklearn

    model, samples = _fitted(data)
    skops.dump(model, tmp_path / "m.skops")
    ordered = {"low": 0, "high": 1}
    target = sklearn.read(tmp_path / "m.skops", classes=["yes", "no"], **ordered)
    expected = model.predict_proba(samples.inputs)[:, ::-1]
    assert np.exp(target.logits(samples.inputs)) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="got the classes .*'no', 'yes'.*, expected those of the"):
        sklearn.read(tmp_path / "m.skops", classes=["good", "bad"], **ordered)


class _Own:
    def predict_proba(self, inputs):
        raise AssertionError("never called")


def test_a_scikit_learn_file_with_a_type_of_its_own_is_refused(tmp_path, data):
    import skops.io as skops

    skops.dump(_Own(), tmp_path / "m.skops")
    with pytest.raises(
        ValueError, match="_Own, which could run code .* `touchstone gate` opens it"
    ):
        outside.open_subject(tmp_path / "m.skops", data)


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.bin", "model"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path, data, name):
    (tmp_path / name).write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(ValueError, match="is refused: .* loading a pickle runs whatever it says"):
        outside.open_subject(tmp_path / name, data)


def test_what_is_absent_or_a_model_tree_is_refused_with_the_way_out(tmp_path, data):
    with pytest.raises(ValueError, match="is absent, expected a model file"):
        outside.open_subject(tmp_path / "none.onnx", data)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match="judge it with `touchstone gate`"):
        outside.open_subject(tmp_path, data)


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path, data, monkeypatch):
    import sys

    from trust_gates.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").write_text("anything")
    with pytest.raises(MissingExtraError, match=r"pip install 'touchstone\[onnx\]'"):
        outside.open_subject(tmp_path / "m.onnx", data)
