"""The data and training stages, from a model repository's digest to a loadable model's."""

import json
import shutil
import subprocess
import sys

import pytest
import typer

from tests.support.model_stages import reader, reads_of
from touchstone.artifacts.store import Store
from touchstone.home import SHIPPED
from touchstone.training import dataset
from touchstone.training.metrics import evaluate
from touchstone.training.opened import open_model

EXAMPLES = SHIPPED / "training" / "examples"


class Stages:
    """Runs stages on one model repository and keeps their results."""

    def __init__(self, folder, repository):
        self.folder = folder
        self.store = Store(folder / "store")
        self.digests = {}
        self.source = self.store.put(repository)
        self.reads = reads_of(self.store, repository)

    def run(self, name, result, *inputs):
        finished = subprocess.run(
            self.command(name, result, *inputs), capture_output=True, text=True
        )
        if finished.returncode == 0:
            self.digests[result] = (self.folder / result).read_text()
        return finished

    def command(self, name, result, *inputs, more=()):
        name, *gate = name.split()
        flags = [f"--{key}={self.digests[key]}" for key in inputs]
        part = reader(name, *gate)
        flags.append(f"--reads={self.reads[part]}" if part else f"--source={self.source}")
        return [
            sys.executable,
            "-P",
            SHIPPED / "scripts" / f"{name}.py",
            f"--store=file://{self.store.root}",
            *flags,
            f"--result-{result}={self.folder / result}",
            *(f"--gate={one}" for one in gate),
            *(f"--result-outcome={self.folder / 'outcome'}" for _ in gate),
            *more,
        ]


@pytest.fixture
def repository(tmp_path):
    copy = tmp_path / "repository"
    shutil.copytree(EXAMPLES / "tabular", copy, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = copy / "touchstone.yaml"
    manifest.write_text(manifest.read_text().replace("maxTrials: 4", "maxTrials: 2"))
    return copy


@pytest.mark.long
def test_real_patients_become_a_model_that_beats_chance_on_held_out_ones(repository, tmp_path):
    stages = Stages(tmp_path, repository)
    for stage in (
        ("fetch_data", "data"),
        ("preprocess", "dataset", "data"),
        ("tune", "parameters", "dataset"),
        ("train", "model", "dataset", "parameters"),
    ):
        finished = stages.run(*stage)
        assert finished.returncode == 0, finished.stderr
    tuned = stages.store.get_json(stages.digests["parameters"])
    assert len(tuned["trials"]) == 2
    assert tuned["best"] == max(trial["value"] for trial in tuned["trials"])
    assert "epoch 30/30" in finished.stdout

    model = stages.store.get(stages.digests["model"], tmp_path / "tree")
    opened = open_model(model)
    assert opened.asked_as == "graph"
    spec, module, document = opened.spec, opened.module, opened.document
    assert document["parameters"] == tuned["parameters"]
    data = dataset.read(stages.store.get(stages.digests["dataset"], tmp_path / "arrays"))
    assert evaluate(spec, module, data.description, data.splits["test"])["accuracy"] > 0.6
    figures = evaluate(spec, module, data.description, data.splits["validation"])
    recorded = json.loads((model / "metrics.json").read_text())
    assert recorded["val_accuracy"] == pytest.approx(figures["accuracy"])


@pytest.mark.long
def test_data_is_held_to_its_digest_unless_an_event_names_other_data(repository, tmp_path):
    from typer.testing import CliRunner

    from scripts import fetch_data

    store = Store(tmp_path / "store")
    manifest = repository / "touchstone.yaml"
    plain = manifest.read_text()

    def fetch(digest, *more, uri=""):
        manifest.write_text(plain.replace("seed: 7", f"seed: 7\n    digest: {digest}"))
        return CliRunner().invoke(
            app,
            [
                f"--store=file://{store.root}",
                f"--reads={reads_of(store, repository)['data']}",
                f"--result-data={tmp_path / 'data'}",
                f"--uri={uri}",
                *more,
            ],
        )

    app = typer.Typer()
    app.command()(fetch_data.main)
    assert fetch('""').exit_code == 0
    digest = (tmp_path / "data").read_text()
    assert fetch(digest).exit_code == 0
    wrong = fetch("sha256:" + "0" * 64)
    assert f"got {digest} from sklearn:diabetes" in str(wrong.exception)
    other = fetch("sha256:" + "0" * 64, uri="sklearn:diabetes")
    assert other.exit_code == 0 and "loading sklearn:diabetes with seed 7" in other.output
    unknown = fetch(digest, uri="s3://training-data/new.npz")
    assert "got data uri 's3://training-data/new.npz'" in str(unknown.exception)
    # Whatever the code's own process has let pass: only of a table are rows encoded by columns.
    lie = tmp_path / "lie"
    store.get(digest, lie)
    said = json.loads((lie / "dataset.json").read_text())
    said["inputs"]["columns"] = [{"name": "a", "kind": "number", "low": 0, "high": 9, "missing": 0}]
    (lie / "dataset.json").write_text(json.dumps(said))
    loaded = fetch('""', f"--loaded={store.put(lie)}")
    assert "got columns in the description of inputs" in str(loaded.exception)


@pytest.mark.long
def test_data_that_were_looked_at_are_the_ones_that_are_fetched_and_folders_are_read_anew(
    repository, tmp_path, monkeypatch
):
    stages = Stages(tmp_path, repository)
    assert stages.run("validate", "data").returncode == 0
    seen = stages.digests["data"]
    again = stages.command("fetch_data", "data", more=[f"--loaded={seen}"])
    handed = subprocess.run(again, capture_output=True, text=True, check=True).stdout
    assert "loading" not in handed and (tmp_path / "data").read_text() == seen
    assert stages.run("fetch_data", "data").returncode == 0
    assert stages.digests["data"] == seen
    monkeypatch.setenv("TOUCHSTONE_DATA", str(tmp_path))
    assert stages.run("validate", "data").returncode == 0
    assert stages.digests["data"] == ""


def test_the_first_look_shows_the_code_what_the_stages_after_it_do(repository, tmp_path):
    (repository / "README.md").write_text("0.5")
    model = repository / "model.py"
    model.write_text(model.read_text() + "\nopen('README.md')\n")
    looked = Stages(tmp_path, repository).run("validate", "data")
    assert looked.returncode == 4
    assert "No such file or directory: 'README.md'" in looked.stderr


@pytest.mark.long
def test_touchstone_yaml_mitigates_on_two_ranks_and_the_gate_judges_what_is_served(
    repository, tmp_path
):
    manifest = repository / "touchstone.yaml"
    text = manifest.read_text().replace(
        "    epochs: 30\n    batchSize: 32\n",
        "    epochs: 3\n    batchSize: 32\n    mitigation: {method: adversarial_debiasing}\n",
    )
    assert "adversarial" in text
    tune, train = text.index("  tune:"), text.index("  train:")
    manifest.write_text(text[:tune] + text[train:])
    stages = Stages(tmp_path, repository)
    for stage in (
        ("fetch_data", "data"),
        ("preprocess", "dataset", "data"),
        ("tune", "parameters", "dataset"),
        ("train", "model", "dataset", "parameters"),
        ("gate fairness", "evidence", "dataset", "model"),
    ):
        finished = stages.run(*stage)
        assert finished.returncode == 0, finished.stderr
    model = stages.store.get(stages.digests["model"], tmp_path / "tree")
    figures = json.loads((model / "metrics.json").read_text())
    assert {"val_statistical_parity_difference", "before_statistical_parity_difference"} <= set(
        figures
    )
    document = json.loads((model / "mitigation.json").read_text())
    assert document["source"]["feature"] == 1  # sex is the second feature: requests need not say
    assert document["steps"] is None


def test_an_unknown_protected_attribute_is_refused_before_training(repository, tmp_path):
    manifest = repository / "touchstone.yaml"
    manifest.write_text(manifest.read_text().replace("protected: sex", "protected: age"))
    stages = Stages(tmp_path, repository)
    assert stages.run("fetch_data", "data").returncode == 0
    refused = stages.run("preprocess", "dataset", "data")
    assert refused.returncode == 4
    assert "got the protected attribute 'age', expected one of 'sex'" in refused.stderr


@pytest.mark.long
def test_a_stopped_training_goes_on_from_its_own_checkpoint_and_from_no_planted_one(
    repository, tmp_path
):
    manifest = repository / "touchstone.yaml"
    text = manifest.read_text().replace("epochs: 30\n", "epochs: 80\n")
    manifest.write_text(text[: text.index("  tune:")] + text[text.index("  train:") :])
    stages = Stages(tmp_path, repository)
    for stage in (
        ("fetch_data", "data"),
        ("preprocess", "dataset", "data"),
        ("tune", "parameters", "dataset"),
    ):
        assert stages.run(*stage).returncode == 0
    own = tmp_path / "own"
    inputs = ("train", "model", "dataset", "parameters")
    command = stages.command(*inputs, more=[f"--checkpoints={own}"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stopped:
        for line in stopped.stdout:
            if line.startswith("epoch 5/"):
                stopped.terminate()
    assert stopped.returncode == 143
    (kept,) = (path for path in own.rglob("*") if path.is_file())
    honest = kept.read_bytes()

    # What used to be taken: a file in the store, by the name that follows from the inputs.
    planted = stages.store.root / "checkpoints" / kept.parent.name / "training"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(honest)
    elsewhere = stages.run(*inputs)
    assert elsewhere.returncode == 0 and "epoch 1/80" in elsewhere.stdout
    assert planted.read_bytes() == honest  # neither read nor written

    resumed = subprocess.run(command, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 1/80" not in resumed.stdout and "epoch 80/80" in resumed.stdout
    assert (tmp_path / "model").read_text() == stages.digests["model"]  # to the byte
    assert list(own.iterdir()) == []

    kept.parent.mkdir()
    kept.write_bytes(honest.replace(kept.parent.name.encode(), b"0" * 64))
    foreign = subprocess.run(command, capture_output=True, text=True)
    assert "of the training sha256:0000" in foreign.stdout
    assert "epoch 1/80" in foreign.stdout
    assert (tmp_path / "model").read_text() == stages.digests["model"]
