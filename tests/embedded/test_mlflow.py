"""MLflow itself, on a database in a file: what a run leaves there, a model judged from there."""

import logging
import pickle
import shutil

import pytest
from report_samples import PICTURES, TUNED, full
from typer.testing import CliRunner

from scripts import track
from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.delivery import logged, tracker
from touchstone.errors import ManifestError, ModelRefusedError, PlatformError, UsageError
from touchstone.home import SHIPPED

GATES = SHIPPED / "training" / "examples" / "gates"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracker")
    with pytest.MonkeyPatch.context() as patch:
        found = tracker.Server.of(f"sqlite:///{folder}/mlflow.db", {})
        patch.setenv("MLFLOW_TRACKING_URI", found.uri)
        yield found
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def mlflow(server):
    with tracker.client(server) as found:
        yield found


def files_of(mlflow, run, place=None):
    for one in mlflow.list_artifacts(run, place):
        yield from files_of(mlflow, run, one.path) if one.is_dir else [one.path]


def test_a_run_is_found_there_once_with_its_trials_figures_and_report(
    server, mlflow, tmp_path, capsys
):
    store, evidence = Store(tmp_path / "store"), tmp_path / "evidence"
    evidence.mkdir()
    for name, content in PICTURES.items():
        (evidence / name).write_bytes(content)
    verdict = {**full(), "evidence": {"robustness": store.put(evidence)}}
    store.set_ref("runs/tiny-1/verdict", store.put_json(verdict))
    (tmp_path / "tracking-uri").write_text(server.uri)
    words = (store.root.as_uri(), "tiny-1", "tiny", "c" * 40, store.put_json(TUNED), "Failed")
    for _ in range(2):
        track.main(*words, server=tmp_path)
        said = capsys.readouterr()
        assert said.out.startswith("tracked: run "), said.err

    experiment = mlflow.get_experiment_by_name("tiny")
    runs = {one.info.run_name: one for one in mlflow.search_runs([experiment.experiment_id])}
    assert set(runs) == {"tiny-1", "trial 1", "trial 2"}
    whole = runs["tiny-1"]
    assert whole.data.metrics["robustness/robust_accuracy"] == 0.5
    assert whole.data.params["train.epochs"] == "3"
    assert whole.data.tags["touchstone.verdict"] == "refused"
    assert runs["trial 2"].data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert runs["trial 2"].data.metrics == {"val_accuracy": 0.9}
    assert {name: one.info.status for name, one in runs.items()} == {
        "tiny-1": "FINISHED", "trial 1": "FAILED", "trial 2": "FINISHED",
    }  # fmt: skip
    found = {name.removeprefix("trust-report/") for name in files_of(mlflow, whole.info.run_id)}
    assert {"trust-report.html", "verdict.json", *PICTURES} <= found


@pytest.fixture(scope="module")
def run(mlflow, tmp_path_factory):
    """A run with an ONNX model, which is registered too, a pickle, and one beside such a model."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("wards", "pickle", "both"):
        (folder / name).mkdir()
        (folder / name / "MLmodel").write_text("flavors: {}\n")
    shutil.copy(GATES / "model.onnx", folder / "wards")
    (folder / "pickle" / "model.pkl").write_bytes(b"\x80\x04.")
    shutil.copy(GATES / "model.onnx", folder / "both")
    (folder / "both" / "weights.dat").write_bytes(pickle.dumps({"weights": [1.0]}))
    experiment = mlflow.create_experiment("outside", (folder / "kept").as_uri())
    identity = mlflow.create_run(experiment).info.run_id
    for name in ("wards", "pickle", "both"):
        mlflow.log_artifacts(identity, str(folder / name), name)
    mlflow.create_registered_model("wards")
    source = f"{(folder / 'kept').as_uri()}/{identity}/artifacts/wards"
    mlflow.create_model_version("wards", source, identity)
    mlflow.set_registered_model_alias("wards", "newest", 1)
    return identity


def judged(model, *more, policy=GATES / "gates.yaml"):
    words = ["gate", "quality", f"--model={model}", f"--data={GATES / 'data.csv'}"]
    return CliRunner().invoke(_app(), [*words, f"--policy={policy}", *more])


def test_a_logged_model_is_judged_and_its_report_lies_beside_its_run(mlflow, run, tmp_path):
    done = judged(f"runs:/{run}/wards", f"--out={tmp_path / 'report'}")
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"attached to run {run}, trust-report/wards/" in done.output
    assert "trust-report/wards/trust-report.html" in set(files_of(mlflow, run))
    assert (tmp_path / "report" / "trust-report.html").is_file()
    assert mlflow.get_run(run).data.tags["touchstone.verdict"] == "passed"


def test_a_refused_model_is_told_as_such_whether_mlflow_takes_its_report_or_not(
    mlflow, run, tmp_path, monkeypatch
):
    strict = tmp_path / "strict.yaml"
    strict.write_text("gates: {quality: {checks: [{metric: accuracy, atLeast: 0.99}]}}")
    done = judged("models:/wards/1", "--json", policy=strict)
    assert isinstance(done.exception, ModelRefusedError)
    assert mlflow.get_run(run).data.tags["touchstone.verdict"] == "refused"
    assert "trust-report/wards-1/verdict.json" in set(files_of(mlflow, run))

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(tracker, "log_files", full_disk)
    done = judged("models:/wards/1", policy=strict)
    assert isinstance(done.exception, ModelRefusedError)
    assert "not attached: MLflow did not take the report: OSError: no space" in done.output


def test_a_logged_model_is_named_as_mlflow_does_and_no_pickle_is_opened(run):
    with logged.fetched("models:/wards@newest") as found:
        assert (found.run, (found.folder / "model.onnx").is_file()) == (run, True)
    refused = judged(f"runs:/{run}/pickle").exception
    assert isinstance(refused, ManifestError) and "serialization_format='skops'" in refused.hint
    beside = judged(f"runs:/{run}/both").exception
    assert isinstance(beside, ManifestError) and "the pickle weights.dat beside" in str(beside)
    assert isinstance(judged("models:/wards/9").exception, PlatformError)
    assert isinstance(judged("models:/wards").exception, UsageError)


def test_without_a_tracking_server_nothing_is_made_here(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    refused = judged("models:/wards/1").exception
    assert isinstance(refused, UsageError) and "MLFLOW_TRACKING_URI" in str(refused)
    assert list(tmp_path.iterdir()) == []
