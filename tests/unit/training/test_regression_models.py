"""A model that predicts a number is trained, measured, opened, asked and served as one."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics

from touchstone import cli
from touchstone.contract import checked
from touchstone.delivery.predictor import Predictor
from touchstone.delivery.wire import Instances
from touchstone.home import SHIPPED
from touchstone.training import dataset, given
from touchstone.training.export import export
from touchstone.training.load import load_spec
from touchstone.training.metrics import FIGURES, evaluate
from touchstone.training.opened import open_model
from touchstone.training.raised import CodeError
from touchstone.training.spec import RawData
from touchstone.training.target import open_described
from touchstone.training.trainer import TrainConfig, train
from trust_gates.target import numbers as target_numbers
from trust_gates.verdict import GRAPH

EXAMPLE = SHIPPED / "training" / "examples" / "regression"


@pytest.fixture(scope="module")
def spec():
    return load_spec(EXAMPLE, "model.py:Progression")


@pytest.fixture(scope="module")
def data(spec):
    return dataset.split(spec.load_data("sklearn:diabetes", seed=7))


@pytest.fixture(scope="module")
def trained(spec, data):
    parameters = {"learning_rate": 0.02}
    return train(spec, data, TrainConfig(epochs=12, seed=3, parameters=parameters))


def exported(spec, data, module, folder, source=EXAMPLE):
    export(
        folder,
        module=module,
        spec=spec,
        sample=torch.from_numpy(data.splits["validation"]["inputs"][:8]),
        source=source,
        entrypoint="model.py:Progression",
        parameters={},
        description=data.description,
        metrics={},
        seed=0,
    )
    return folder


def test_quarters_of_the_targets_are_in_every_split_alike(data):
    everything = np.concatenate([part["targets"] for part in data.splits.values()])
    cuts = np.quantile(everything, [0.25, 0.5, 0.75])
    for part in data.splits.values():
        shares = np.bincount(np.searchsorted(cuts, part["targets"])) / len(part["targets"])
        assert shares == pytest.approx(np.full(4, 0.25), abs=0.02)


def test_training_learns_a_number_and_measures_it_as_scikit_learn_does(spec, data, trained):
    module, figures = trained
    assert list(figures) == [f"val_{name}" for name in FIGURES["regression"]]
    part = data.splits["validation"]
    with torch.no_grad():
        told = spec.predict(module.eval(), torch.from_numpy(part["inputs"])).numpy()
    assert told.shape == (len(part["inputs"]),)
    expected = {
        "val_r2": metrics.r2_score(part["targets"], told),
        "val_mean_absolute_error": metrics.mean_absolute_error(part["targets"], told),
        "val_root_mean_squared_error": metrics.root_mean_squared_error(part["targets"], told),
    }
    assert figures == pytest.approx(expected, rel=1e-4)
    assert figures["val_r2"] > 0.3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: torch.stack([x[:, 0], x[:, 1]], dim=1),
        lambda x: x[:3, 0],
        lambda x: x[:, 0].long(),
        lambda x: x[:, 0].tolist(),
    ],
)
def test_a_prediction_that_is_no_number_a_sample_is_the_codes_fault(spec, data, wrong):
    answers = wrong(torch.from_numpy(data.splits["test"]["inputs"][:5]))
    with pytest.raises(CodeError, match=r"expected numbers \(N,\) or \(N, 1\), here \(5,\)"):
        given.numbers(spec, answers, 5)


@pytest.mark.parametrize("as_data", [True, False])
def test_a_tree_answers_with_a_column_as_data_and_through_its_host(
    spec, data, trained, tmp_path, as_data
):
    source = EXAMPLE
    if not as_data:
        source = tmp_path / "source"
        source.mkdir()
        code = (EXAMPLE / "model.py").read_text()
        before = "        return MEAN + SPREAD * module(inputs).squeeze(1)\n"
        assert before in code
        hidden = before.replace("return", "assert inputs.tolist()\n        return")
        (source / "model.py").write_text(code.replace(before, hidden))
    own = load_spec(source, "model.py:Progression")
    module = trained[0].cpu().eval()
    folder = exported(own, data, module, tmp_path / "model", source)
    target = open_described(folder, data.description)
    assert (target.asked_as == GRAPH) is as_data
    samples = data.samples()
    numbers = target_numbers(target, samples)
    with torch.no_grad():
        expected = spec.predict(module, torch.from_numpy(samples.inputs)).numpy()
    assert numbers == pytest.approx(expected, rel=1e-4)
    inputs = target.tensor(samples.inputs[:4]).requires_grad_()
    (slope,) = torch.autograd.grad(target.differentiable(inputs).sum(), inputs)
    assert slope.abs().sum() > 0
    opened = open_model(folder)
    served = Predictor(opened.spec, opened.module, opened.document)
    answers = served.answer(*served.read(Instances(values=samples.inputs[:3].tolist())))
    assert served.as_json(answers) == [{"value": pytest.approx(n, rel=1e-4)} for n in numbers[:3]]
    tensors = served.as_tensors(answers)
    assert list(tensors) == ["value"] and tensors["value"].shape == (3,)
    outputs = served.described()["outputs"]
    assert outputs == [{"name": "value", "datatype": "FP32", "shape": [-1]}]


@pytest.mark.parametrize(
    ("classes", "targets", "problem"),
    [
        (("low", "high"), np.ones(442, np.float32), "of a regression, expected none"),
        ((), np.ones(442), r"targets: got float64 \(442,\), expected float32 \(N,\)"),
        ((), np.ones((442, 1), np.float32), r"targets: got float32 \(442, 1\), expected float32"),
        ((), np.full(442, np.nan, np.float32), "targets: got NaN or infinity"),
    ],
)
def test_data_of_no_regression_are_the_codes_fault(spec, classes, targets, problem):
    found = spec.load_data("sklearn:diabetes", seed=7)
    described = replace(found.description, classes=classes)
    wrong = RawData(description=described, arrays={**found.arrays, "targets": targets})
    with pytest.raises(CodeError, match=problem):
        given.data(spec, wrong)


def test_nothing_to_measure_on_is_said(spec, data):
    empty = {name: array[:0] for name, array in data.splits["test"].items()}
    with pytest.raises(ValueError, match="expected at least one"):
        evaluate(spec, torch.nn.Identity(), data.description, empty)


WRONG = [
    ("val_mean_absolute_error, goal: minimize", "val_mean_absolute_error, goal: maximize"),
    ("- {metric: r2, atLeast: 0.25}", "- {metric: accuracy, atLeast: 0.5}"),
    ("      tolerance: 50 ", "      #"),
    ("attacks: [fgsm, pgd, square]", "attacks: [vat, square]"),
    ("    integrity: {}", "    integrity: {poisoning: {}}"),
    (
        "    batchSize: 32",
        "    batchSize: 32\n    defences: [{method: label_smoothing}]\n    mitigation:"
        " {method: reweighing, protected: sex, privileged: [group 1], favorable: slower}",
    ),
]
TOLD = [
    "expected minimize: what is sought would be the worst model",
    "got 'accuracy', which classification models are measured by; this one is of the task regress",
    "got no tolerance, expected how far a number may be from the truth",
    "got attacks ['vat'] for regression under the norm linf, expected some of ['fgsm', 'bim'",
    "the detectors are of classifiers, leave poisoning out",
    "got the task regression; adversarial_training works on any task",
    "got reweighing for a regression model, expected it for a classifier",
]


def test_what_a_regression_does_not_have_is_told_by_name_before_it_is_trained(tmp_path):
    text = (EXAMPLE / "touchstone.yaml").read_text()
    for old, new in WRONG:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "touchstone.yaml").write_text(text)
    (tmp_path / "model.py").write_text((EXAMPLE / "model.py").read_text())
    found = [str(one) for one in checked.check(tmp_path).problems]
    assert all(one.startswith("touchstone.yaml:") for one in found)
    for problem in TOLD:
        assert any(problem in one for one in found), (problem, found)
    assert len(found) == len(TOLD)


POLICY = """\
gates:
  quality: {checks: [{metric: r2, atLeast: 0.5}]}
  fairness:
    protected: sex
    privileged: [m]
    checks: [{metric: mean_absolute_error_ratio, within: [0.5, 2]}]
"""


@pytest.fixture
def table(tmp_path, monkeypatch, capsys):
    """A folder with predictions.csv and gates.yaml; runs `touchstone gate` in it."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    truth = draw.normal(50, 10, size=300)
    rows = zip(truth, truth + draw.normal(0, 3, size=300), ["f", "m"] * 150, strict=True)
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("label", "prediction", "protected_sex"), *rows])
    (tmp_path / "gates.yaml").write_text(POLICY)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["touchstone", "gate", *arguments, "--policy=gates.yaml"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, "".join(capsys.readouterr())

    return run


def test_a_table_of_predicted_numbers_is_judged_by_the_policys_figures(table, tmp_path):
    code, said = table("quality", "fairness", "--data", "predictions.csv")
    assert code == 0, said
    assert "ok: quality: r2: got 0.9" in said
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    lines[7] = lines[7].replace(lines[7].split(",")[1], "nan")
    (tmp_path / "predictions.csv").write_text("\n".join(lines))
    code, said = table("quality", "--data", "predictions.csv")
    assert code == 4
    assert "predictions.csv:8: got 'nan' as the prediction, expected a finite number" in said


@pytest.mark.parametrize("kind", ["onnx", "skops"])
def test_a_regressor_in_a_file_is_judged(table, tmp_path, kind):
    from sklearn.linear_model import LinearRegression

    draw = np.random.default_rng(1)
    inputs = draw.uniform(size=(300, 3)).astype(np.float32)
    truth = (inputs @ [3.0, -1.0, 0.5] + 0.1 * draw.normal(size=300)).astype(np.float32)
    fitted = LinearRegression().fit(inputs, truth)
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "c", "label"), *np.c_[inputs, truth]])
    if kind == "skops":
        import skops.io

        skops.io.dump(fitted, tmp_path / "model.skops")
    else:
        network = torch.nn.Linear(3, 1)
        network.weight.data = torch.tensor(fitted.coef_[None], dtype=torch.float32)
        network.bias.data = torch.tensor([fitted.intercept_], dtype=torch.float32)
        torch.onnx.export(
            network,
            (torch.zeros(2, 3),),
            tmp_path / "model.onnx",
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            dynamo=False,
        )
    (tmp_path / "gates.yaml").write_text(
        "gates:\n"
        "  quality: {checks: [{metric: mean_absolute_error, atMost: 0.2}]}\n"
        "  robustness:\n"
        "    epsilon: 0.02\n"
        "    tolerance: 0.4\n"
        "    checks: [{metric: robust_within_tolerance, atLeast: 0.8}]\n"
        "  explainability: {checks: [{metric: faithfulness, atLeast: 0.1}]}\n"
    )
    asked = ["--model", f"model.{kind}", "--data", "data.csv"]
    code, said = table("quality", "robustness", "explainability", *asked)
    assert code == 0, said
    assert "ok: robustness: robust_within_tolerance" in said


def test_columns_are_a_tables_alone_for_served_rows_are_encoded_by_them(spec):
    found = spec.load_data("sklearn:diabetes", seed=7)
    columns = [{"name": "bmi", "kind": "number", "low": 0, "high": 1e6, "missing": False}]
    inputs = {**found.description.inputs, "columns": columns}
    said = RawData(description=replace(found.description, inputs=inputs), arrays=found.arrays)
    with pytest.raises(CodeError, match="got columns in the description of inputs, expected none"):
        given.data(spec, said)
    assert given.data(spec, said, table=True) is said
