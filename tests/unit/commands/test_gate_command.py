"""`touchstone gate` and `python -m trust_gates`: one judgement, exit codes to rely on."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

from touchstone import cli
from touchstone.artifacts.store import Store
from touchstone.contract.model_repo import ModelPipeline
from trust_gates import __main__ as gates_cli
from trust_gates import report
from trust_gates.errors import GateError, MissingExtraError
from trust_gates.gates import GatesFile
from trust_gates.policy import COMPANY

POLICY = "gates: {quality: {checks: [{metric: accuracy, atLeast: 0.7}]}}"
COMMANDS = {
    "touchstone": (cli.main, ["gate"]),
    "python -m trust_gates": (gates_cli.main, ["gate"]),
}


@pytest.fixture(params=COMMANDS)
def run(request, tmp_path, monkeypatch, capsys):
    """Run one of the two commands in a folder with gates.yaml and predictions.csv."""
    main, before = COMMANDS[request.param]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gates.yaml").write_text(POLICY)
    rows = "".join(f"{i % 2},{i % 2 if i % 10 else 1 - i % 2}\n" for i in range(200))
    (tmp_path / "predictions.csv").write_text("label,prediction\n" + rows)

    def call(*arguments, policy="gates.yaml"):
        options = [f"--policy={policy}"] if policy else []
        monkeypatch.setattr("sys.argv", [request.param, *before, *arguments, *options])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return call


def test_a_model_that_passes_is_0_and_says_why(run):
    code, out, _ = run("quality", "--data=predictions.csv")
    assert code == 0
    assert "ok: quality: accuracy: got 0.900" in out
    assert "note: quality: judged on recorded predictions (predictions.csv)" in out


def test_nothing_is_said_to_hold_of_the_company_of_recorded_answers(run, tmp_path):
    """Nobody asked the model, so no check of how it answers can pass."""
    code, out, _ = run("quality", "--data=predictions.csv", "--json", "--out=report")
    assert (code, COMPANY in out) == (0, False)
    text = (tmp_path / "report" / "trust-report.md").read_text()
    assert "| **Judged as** | its files or its recorded answers alone" in text


def test_a_model_that_is_refused_is_5(run, tmp_path):
    (tmp_path / "gates.yaml").write_text(POLICY.replace("0.7", "0.99"))
    code, out, _ = run("quality", "--data=predictions.csv")
    assert code == 5
    assert out.splitlines()[-1].startswith("failed: quality: accuracy: got 0.900")


def test_the_verdict_document_is_printed_alone_and_the_report_written(run, tmp_path):
    code, out, err = run("quality", "--data=predictions.csv", "--json", "--out=report")
    assert code == 0
    document = json.loads(out)
    jsonschema.validate(document, report.schema())
    assert (document["passed"], document["name"]) == (True, "predictions")
    assert "wrote report/trust-report.html" in err
    assert json.loads((tmp_path / "report" / "verdict.json").read_text()) == document


def test_what_was_asked_and_of_which_bytes_is_said_before_what_was_found(run, tmp_path):
    code, out, _ = run("quality", "--data=predictions.csv", "--out=report")
    digests = {
        name: "sha256:" + hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
        for name, file in (("data", "predictions.csv"), ("policy", "gates.yaml"))
    }
    assert code == 0
    first, *_ = (line for line in out.splitlines() if not line.startswith("asked: "))
    assert first.startswith("note: quality: ")
    assert "asked: decided at: confidence 0.95 of the whole verdict" in out
    assert "asked: quality: accuracy >= 0.7 (on 200 samples); " in out
    document = json.loads((tmp_path / "report" / "verdict.json").read_text())
    report_text = (tmp_path / "report" / "trust-report.md").read_text()
    for name, digest in digests.items():
        assert document[name] == digest
        assert f"asked: {name}: {digest}" in out
        assert f"- {name}: {digest}" in report_text.split("## What decided")[0]


def test_what_the_policy_declares_and_nobody_asked_for_is_named(run, tmp_path):
    (tmp_path / "gates.yaml").write_text(POLICY[:-1] + ", integrity: {pinned: true}}")
    code, out, _ = run("quality", "--data=predictions.csv")
    assert code == 0
    assert "asked: integrity: not judged" in out
    assert "warning: integrity: gates.integrity is declared and was not judged" in out
    document = json.loads(run("quality", "--data=predictions.csv", "--json")[1])
    jsonschema.validate(document, report.schema())
    assert document["warnings"] == {"integrity": ["gates.integrity is declared and was not judged"]}


def test_data_that_change_while_they_are_judged_are_4(run, tmp_path, monkeypatch):
    from trust_gates import outside

    def judge(*arguments, then=outside.judge, **options):
        found = then(*arguments, **options)
        with (tmp_path / "predictions.csv").open("a") as file:
            file.write("1,0\n")
        return found

    monkeypatch.setattr("trust_gates.outside.judge", judge)
    code, out, err = run("quality", "--data=predictions.csv")
    assert (code, out) == (4, "")
    assert "the data changed while it was judged" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nonsense", "--data=predictions.csv"], "expected some of"),
        (["quality"], "--data is missing"),
        (["robustness", "--data=predictions.csv"], "--model is missing: robustness"),
        (["integrity"], "--model is missing: integrity"),
        (["integrity", "--model=.", "--expect=model"], "expected FILE=sha256"),
    ],
)
def test_a_wrong_command_line_is_2(run, arguments, problem):
    code, _, err = run(*arguments)
    assert code == 2
    assert problem in err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("quality: [", "gates.yaml"),
        ("- quality", "expected a mapping"),
        ("", "expected a mapping"),
        ("gates: {integrity: {}}", "got a policy for integrity, expected one for quality"),
        (POLICY.replace("accuracy", "charm"), "got the metric 'charm'"),
        (POLICY.replace("accuracy", "map50"), "got the metric 'map50'"),
        (POLICY + "\nseed: 7", "got unknown key seed"),
    ],
)
def test_a_wrong_policy_is_4(run, tmp_path, content, problem):
    (tmp_path / "gates.yaml").write_text(content)
    code, _, err = run("quality", "--data=predictions.csv")
    assert code == 4
    assert problem in err


def test_absent_data_or_a_pickle_is_4(run, tmp_path):
    assert run("quality", "--data=absent.csv")[0] == 4
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04.")
    code, _, err = run("quality", "--data=predictions.csv", "--model=model.pkl")
    assert code == 4
    assert "loading a pickle runs whatever it says" in err


@pytest.mark.parametrize(
    ("error", "expected"),
    [(MissingExtraError("an ONNX model", "onnx"), 3), (GateError("no gradient"), 1)],
)
def test_a_missing_library_is_3_and_a_gate_that_does_not_work_1(run, monkeypatch, error, expected):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("trust_gates.outside.open_subject", fail)
    code, _, err = run("quality", "--data=predictions.csv")
    assert code == expected
    assert str(error) in err


def test_integrity_holds_files_against_the_digests_given(run, tmp_path):
    import torch
    from safetensors.torch import save_file

    (tmp_path / "tree").mkdir()
    save_file({"weight": torch.ones(3)}, tmp_path / "tree" / "model.safetensors")
    digest = hashlib.sha256((tmp_path / "tree" / "model.safetensors").read_bytes()).hexdigest()
    (tmp_path / "data.csv").write_text("x,label\n0.1,a\n0.9,b\n")
    asked = ["integrity", "--model=tree", "--data=data.csv"]
    code, out, _ = run(*asked, f"--expect=model.safetensors=sha256:{digest}")
    assert "ok: integrity: digest_mismatches: got 0" in out
    assert code == 5  # nobody knows what it learned from, so a leak cannot be ruled out
    assert "leaked_test_samples" in out.splitlines()[-1]
    _, out, _ = run(*asked, f"--expect=model.safetensors=sha256:{'0' * 64}")
    assert "failed: integrity: digest_mismatches: got 1" in out


INTEGRITY = """\
gates:
  integrity:
    checks: [{metric: label_noise, atMost: 0.05}, {metric: single_feature_accuracy, atMost: 0.3}]
    poisoning: {recall: 0.7}
    pinned: true
"""


def test_integrity_is_judged_by_all_that_its_policy_asks(run, tmp_path):
    """A third of the labels is wrong, and nothing that was asked for is left out."""
    generator = np.random.default_rng(0)
    inputs = generator.random((1200, 6)).astype(np.float32)
    right = (inputs[:, 0] + inputs[:, 1] > 1).astype(np.int64)
    labels = np.where(generator.random(1200) < 0.35, 1 - right, right)
    sex = generator.integers(0, 2, 1200)
    (tmp_path / "data").mkdir()
    splits = {"train": slice(700), "validation": slice(700, 850), "test": slice(850, 1200)}
    for name, rows in splits.items():
        arrays = {"inputs": inputs[rows], "labels": labels[rows], "protected_sex": sex[rows]}
        np.savez(tmp_path / "data" / f"{name}.npz", **arrays)
    described = {"shape": [6], "low": 0, "high": 1, "features": list("abcdef")}
    document = {"task": "classification", "classes": ["no", "yes"], "inputs": described}
    document |= {"protected": {"sex": ["f", "m"]}, "seed": 0}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(document))
    (tmp_path / "tree").mkdir()
    save_file({"w": np.ones((2, 6), np.float32)}, tmp_path / "tree" / "model.safetensors")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "requirements.txt").write_text("numpy\n")
    (tmp_path / "gates.yaml").write_text(INTEGRITY)

    digest = hashlib.sha256((tmp_path / "tree" / "model.safetensors").read_bytes()).hexdigest()
    asked = ["integrity", "--model=tree", "--data=data", "--json"]
    asked.append(f"--expect=model.safetensors=sha256:{digest}")
    code, out, _ = run(*asked, "--source=source")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 5
    assert checks["label_noise"]["outcome"] == "failed"
    assert checks["label_noise"]["required"] == {"low": None, "high": 0.05}
    assert checks["label_noise"]["measured"] == pytest.approx(0.35, abs=0.06)
    assert checks["label_noise"]["interval"]["confidence"] >= 0.95
    assert checks["single_feature_accuracy"]["outcome"] == "failed"
    assert checks["single_feature_accuracy"]["required"] == {"low": None, "high": 0.3}
    assert checks["poisoned_samples"]["outcome"] == "insufficient evidence"
    assert "the model cannot be asked" in checks["poisoned_samples"]["reason"]
    assert "numpy has no exact version" in checks["unpinned_dependencies"]["reason"]

    without = {check["name"]: check for check in json.loads(run(*asked)[1])["checks"]}
    assert without["unpinned_dependencies"]["outcome"] == "failed"
    assert "there is no model repository" in without["unpinned_dependencies"]["reason"]


def test_a_key_that_only_a_pipeline_can_use_is_named(run, tmp_path):
    (tmp_path / "gates.yaml").write_text(POLICY.replace("checks:", "champion: {}, checks:"))
    code, out, _ = run("quality", "--data=predictions.csv")
    assert code == 0
    assert "note: quality: gates.quality.champion is not used here" in out


def test_only_touchstone_gate_judges_by_a_whole_touchstone_yaml(monkeypatch, capsys):
    asked = ["gate", "quality", "--data=x.csv", f"--policy={EXAMPLE / 'touchstone.yaml'}"]
    code, _, err = _trust_gates(monkeypatch, capsys, *asked)
    assert code == 4
    assert "which `touchstone gate` judges by" in err


def _trust_gates(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["trust_gates", *arguments])
    with pytest.raises(SystemExit) as exit_:
        gates_cli.main()
    return exit_.value.code or 0, *capsys.readouterr()


def test_the_schemas_are_printed(monkeypatch, capsys):
    code, out, _ = _trust_gates(monkeypatch, capsys, "schema")
    assert (code, json.loads(out)) == (0, report.schema())
    code, out, _ = _trust_gates(monkeypatch, capsys, "schema", "gates")
    assert (code, json.loads(out)) == (0, GatesFile.model_json_schema())
    for name, expected in (
        (None, ModelPipeline.model_json_schema()),
        ("gates", GatesFile.model_json_schema()),
        ("verdict", report.schema()),
    ):
        code, out, _ = _touchstone(monkeypatch, capsys, *([name] if name else []), command="schema")
        assert (code, json.loads(out)) == (0, expected)


def test_the_keys_of_a_gate_are_printed(monkeypatch, capsys):
    code, out, _ = _trust_gates(monkeypatch, capsys, "keys", "quality")
    assert code == 0
    assert "| `minimumSlice` | integer ≥ 1 | `30` |" in out
    assert _trust_gates(monkeypatch, capsys, "keys", "charm")[0] == 2


def test_a_report_is_written_again_from_its_verdict(monkeypatch, capsys, tmp_path):
    from report_samples import PICTURES, full

    files = report.render(full(), PICTURES)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    out = f"--out={tmp_path / 'again'}"
    assert _trust_gates(monkeypatch, capsys, "report", f"{tmp_path / 'verdict.json'}", out)[0] == 0
    for name, data in files.items():
        assert (tmp_path / "again" / name).read_bytes() == data
    (tmp_path / "verdict.json").write_text('{"passed": true}')
    code, _, err = _trust_gates(monkeypatch, capsys, "report", f"{tmp_path / 'verdict.json'}", out)
    assert code == 4
    assert "expected a verdict document" in err


EXAMPLE = Path(__file__).parents[3] / "training" / "examples" / "tabular"


def _touchstone(monkeypatch, capsys, *arguments, command="gate"):
    monkeypatch.setattr("sys.argv", ["touchstone", command, *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code or 0, *capsys.readouterr()


def _confidence(document):
    (check,) = [check for check in document["checks"] if check["name"] == "accuracy"]
    return check["interval"]["confidence"]


def test_a_pytorch_tree_is_judged_by_its_own_touchstone_yaml(monkeypatch, capsys, tmp_path):
    import torch

    from touchstone.training import dataset, load
    from touchstone.training.export import export

    torch.manual_seed(0)
    spec = load.load_spec(EXAMPLE, "model.py:Progression")
    raw = spec.load_data("sklearn:diabetes", seed=7)
    dataset.write(tmp_path / "data", dataset.split(raw))
    parameters = {"width": 8, "dropout": 0.0, "learning_rate": 0.01}
    export(
        tmp_path / "model",
        module=spec.build(parameters),
        spec=spec,
        sample=torch.rand(8, 10),
        source=EXAMPLE,
        entrypoint="model.py:Progression",
        parameters=parameters,
        description=raw.description,
        metrics={},
        seed=7,
    )
    asked = [f"--model={tmp_path / 'model'}", f"--data={tmp_path / 'data'}", "--json"]
    policy = f"--policy={EXAMPLE / 'touchstone.yaml'}"
    code, out, _ = _touchstone(monkeypatch, capsys, "quality", *asked, policy)
    document = json.loads(out)
    assert code == 5  # it was never trained
    assert "accuracy" in {check["name"] for check in document["checks"]}
    assert document["seeds"] == {"gates": 7}  # as in the pipeline
    assert _confidence(document) == pytest.approx(1 - 0.05 / 4)

    # Each round of a remedy has its chance to pass: here 1 + 3 * (2 * 2 - 1) models.
    text = (EXAMPLE / "touchstone.yaml").read_text()
    remedy = "  remedy: {fairness: reweighing, robustness: trades, maxRounds: 3}\n"
    (tmp_path / "touchstone.yaml").write_text(text + remedy)
    policy = f"--policy={tmp_path}"
    document = json.loads(_touchstone(monkeypatch, capsys, "quality", *asked, policy)[1])
    assert document["gates"]["confidence"] == pytest.approx(1 - 0.05 / 10)
    assert _confidence(document) == pytest.approx(0.99875)
    assert document["askedAs"] == {"quality": "graph"}
    assert document["model"] == Store(tmp_path / "store").put(tmp_path / "model")
    unused = "spec.remedy.fairness (reweighing) is not used here: nothing is trained again"
    assert unused in document["warnings"]["fairness"]

    # Without its graph the tree's code answers, from a process that sees the tree alone.
    (tmp_path / "model" / "graph.json").unlink()
    by_code = json.loads(_touchstone(monkeypatch, capsys, "quality", *asked, policy)[1])
    assert by_code["askedAs"]["quality"].startswith("confined by ")
    assert by_code["checks"] == document["checks"]


def test_a_whole_touchstone_yaml_is_checked_with_its_places(monkeypatch, capsys, tmp_path):
    text = (EXAMPLE / "touchstone.yaml").read_text()
    text = re.sub(r"(metric: accuracy, atLeast: )[\d.]+", r"\g<1>60", text)
    (tmp_path / "touchstone.yaml").write_text(text)
    asked = ["quality", "--data=absent.csv", f"--policy={tmp_path / 'touchstone.yaml'}"]
    code, _, err = _touchstone(monkeypatch, capsys, *asked)
    assert code == 4
    assert re.search(r"touchstone\.yaml:\d+:\d+: .*threshold for accuracy in \[0, 1\]", err)


def test_a_name_in_the_data_forges_no_line_of_what_was_found(run, tmp_path):
    rows = "".join(
        f'{i % 2},{i % 2},"x\nok: quality: fine"\n{i % 2},{i % 2},y\n' for i in range(40)
    )
    (tmp_path / "predictions.csv").write_text("label,prediction,g\n" + rows)
    (tmp_path / "gates.yaml").write_text(
        "gates: {fairness: {protected: g, privileged: [y], favorable: 1, "
        "checks: [{metric: statistical_parity_difference, within: [-0.5, 0.5]}]}}"
    )
    _, out, _ = run("fairness", "--data=predictions.csv")
    assert "x ok: quality: fine" in out
    assert not any(line.startswith("ok: quality") for line in out.splitlines())


def test_what_a_ci_system_reads_is_left_and_named_whoever_was_refused(run, tmp_path):
    left = ["--junit=ci/gates.xml", "--sarif=ci/gates.sarif", "--summary=ci/gates.md"]
    (tmp_path / "gates.yaml").write_text(POLICY.replace("0.7", "0.99"))
    code, out, err = run("quality", "--data=predictions.csv", "--json", *left)
    assert code == 5
    assert json.loads(out)["passed"] is False
    assert re.findall(r"wrote (\S+)", err) == ["ci/gates.xml", "ci/gates.sarif", "ci/gates.md"]
    cases = ElementTree.parse(tmp_path / "ci/gates.xml").iter("testcase")
    assert [case.find("failure") is not None for case in cases] == [True, False, False]
    (result,) = json.loads((tmp_path / "ci/gates.sarif").read_bytes())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "gates.yaml"}, "region": {"startLine": 1}}
    assert (tmp_path / "ci/gates.md").read_text().startswith("# ❌ predictions: refused")


@pytest.mark.parametrize(
    "option", ["--junit=gates.yaml/x.xml", "--sarif=there", "--out=gates.yaml"]
)
def test_what_cannot_be_written_is_told_before_anything_is_judged(run, tmp_path, option):
    (tmp_path / "there").mkdir()
    code, out, err = run("quality", "--data=predictions.csv", option)
    assert (code, out) == (2, "")
    assert option.partition("=")[0] in err


def test_predictions_are_judged_without_the_libraries_that_only_models_need(tmp_path):
    """A gate in a CI job starts anew each time: these take seconds and hundreds of megabytes."""
    rows = "".join(f"{i % 2},{i % 2},{'mf'[i % 3 == 0]}\n" for i in range(200))
    (tmp_path / "p.csv").write_text("label,prediction,sex\n" + rows)
    (tmp_path / "gates.yaml").write_text(
        "gates:\n  quality: {checks: [{metric: accuracy, atLeast: 0.7}]}\n"
        "  fairness: {protected: sex, privileged: [m], favorable: '1',"
        " checks: [{metric: equal_opportunity_difference, within: [-0.5, 0.5]}]}\n"
    )
    code = (
        "import sys, atexit; from touchstone import cli;"
        "heavy = {'torch', 'matplotlib', 'sklearn', 'scipy.stats', 'aif360.metrics', 'art'};"
        "atexit.register(lambda: print(heavy & set(sys.modules))); cli.main()"
    )
    asked = ["gate", "quality", "fairness", "--data=p.csv", "--policy=gates.yaml"]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "set()"), done.stderr


def test_trees_in_a_skops_file_are_opened_confined_and_here_not_at_all(
    monkeypatch, capsys, tmp_path
):
    import skops.io
    from sklearn.tree import DecisionTreeClassifier

    rows = np.random.default_rng(0).random((60, 2)).astype(np.float32)
    names = np.where(rows[:, 0] > 0.5, "yes", "no")
    skops.io.dump(DecisionTreeClassifier().fit(rows, names), tmp_path / "m.skops")
    lines = [f"{a},{b},{name}" for (a, b), name in zip(rows, names, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,label", *lines]))
    (tmp_path / "gates.yaml").write_text(POLICY)
    asked = [f"--{one}={tmp_path / file}" for one, file in FILES_OF_TREES.items()]
    code, out, _ = _touchstone(monkeypatch, capsys, "quality", *asked, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["askedAs"]["quality"].startswith("confined by ")
    assert any("m.skops only answers" in note for note in document["notes"]["quality"])
    monkeypatch.setattr("sys.argv", ["python -m trust_gates", "gate", "quality", *asked])
    with pytest.raises(SystemExit) as exit_:
        gates_cli.main()
    assert exit_.value.code == 4
    assert "sklearn.tree._tree.Tree, which could run code" in capsys.readouterr().err


FILES_OF_TREES = {"model": "m.skops", "data": "data.csv", "policy": "gates.yaml"}
