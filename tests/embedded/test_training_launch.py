"""Real processes under torch elastic: equal to one process, honest when they end, resumable."""

import os
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from touchstone.driver import local
from touchstone.home import SHIPPED
from touchstone.training import dataset, launch
from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.export import with_code
from touchstone.training.load import load_spec
from touchstone.training.mitigation import Mitigation
from touchstone.training.trainer import TrainConfig

TABULAR = SHIPPED / "training" / "examples" / "tabular"
ENTRYPOINT = "model.py:Progression"


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patients")
    raw = load_spec(TABULAR, ENTRYPOINT).load_data("sklearn:diabetes", seed=7)
    dataset.write(folder, dataset.split(raw))
    return folder


def job(patients, folder, *, epochs):
    return launch.Job(
        source=TABULAR,
        entrypoint=ENTRYPOINT,
        dataset=patients,
        output=folder / "model",
        checkpoint=folder / "checkpoint.pt",
        config=TrainConfig(
            epochs=epochs, seed=7, parameters={"dropout": 0.0, "learning_rate": 0.01}
        ),
    )


def start(job_file, workers):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "touchstone.training.launch",
            "--workers",
            str(workers),
            "--",
            *launch.worker(job_file),
        ],
        env=launch.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def largest_difference(left, right):
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (left, right))
    assert one.keys() == two.keys()
    return max(abs(one[name] - two[name]).max() for name in one)


def test_two_ranks_take_the_steps_of_one_process_with_the_whole_batch(patients, tmp_path):
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        file = job(patients, folder, epochs=3).write(folder / "job.json")
        assert launch.run(file, workers=workers) == 0
    assert largest_difference(tmp_path / "1", tmp_path / "2") < 1e-4


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import os, sys, time; sys.exit(77) if os.environ['RANK'] == '1' else time.sleep(60)", 77),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_the_code_a_rank_ended_with_is_the_launchs(program, code):
    command = [sys.executable, "-m", "touchstone.training.launch", "--workers", "2", "--"]
    command += [sys.executable, "-c", program]
    assert launch.follow(command, launch.environment()) == code


@pytest.mark.long
def test_sigterm_leaves_a_checkpoint_that_resumes_to_the_same_weights(patients, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    files = {f: job(patients, f, epochs=150).write(f / "job.json") for f in (whole, broken)}
    assert launch.run(files[whole], workers=1) == 0

    interrupted = start(files[broken], workers=2)
    assert interrupted.stdout is not None
    for line in interrupted.stdout:
        if line.startswith("epoch 20/"):
            interrupted.send_signal(signal.SIGTERM)
            break
    rest = interrupted.communicate(timeout=60)[0]
    assert interrupted.returncode == 128 + signal.SIGTERM
    assert "epoch 150/150" not in rest
    assert (broken / "checkpoint.pt").exists()
    assert not (broken / "model").exists()

    resumed = start(files[broken], workers=2)
    output = resumed.communicate(timeout=60)[0]
    assert resumed.returncode == 0
    assert "epoch 20/150" not in output
    assert largest_difference(whole, broken) < 1e-2


def test_a_repository_with_packages_called_as_our_folders_trains_and_is_exported(
    patients, tmp_path, monkeypatch
):
    source = tmp_path / "repository"
    for name, text in {
        "training/noise.py": "SIGMA = 0.01",
        "scripts/__init__.py": "",
        "scripts/rates.py": "RATE = 1.0",
        "model.py": (TABULAR / "model.py").read_text().replace(
            "\nSEX =", "\nfrom scripts.rates import RATE\nfrom training.noise import SIGMA\n\nSEX ="
        )
        + "\n    def augment(self, batch, generator):\n        print('noise', SIGMA * RATE)\n"
        "        return batch\n",
    }.items():  # fmt: skip
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    given = job(patients, tmp_path, epochs=1).model_copy(update={"source": source})
    code, output = local.trial(given, tmp_path)
    assert code == 0, output
    assert "noise 0.01" in output
    again = given.model_copy(update={"output": tmp_path / "two", "checkpoint": None})
    assert local.train(again, tmp_path, workers=2) == 0
    for module in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, module)  # other tests import ours of this name
    for name in ("model", "two"):
        spec = with_code(tmp_path / name)[0]
        assert spec.augment.__globals__["SIGMA"] == 0.01


def test_a_repository_that_imports_us_by_our_old_name_is_told_the_new_one(patients, tmp_path):
    (tmp_path / "model.py").write_text("from training import ModelSpec\n")
    given = job(patients, tmp_path, epochs=1).model_copy(update={"source": tmp_path})
    code, output = local.trial(given, tmp_path)
    assert code == 1
    assert output == (
        "error: model.py:1: got `from training import ModelSpec`, "
        "expected `from touchstone.training import ModelSpec`: the package moved\n"
    )


def test_a_job_comes_back_as_it_was_written(patients, tmp_path):
    given = job(patients, tmp_path, epochs=2)
    config = given.config.model_copy(
        update={
            "mitigation": Mitigation(
                method="reject_option", protected="sex", privileged=("group 1",), favorable=1
            ),
            "defences": (Defence(method="trades", options={"norm": "l2", "steps": 3}),),
            "evasion": Evasion(on="inputs", epsilon="4/255"),
            "parameters": {"width": 4, "rate": 0.5, "kind": "4"},
        }
    )
    whole = given.model_copy(update={"config": config, "output": None})
    assert launch.Job.read(whole.write(tmp_path / "job.json")) == whole


def test_a_job_that_is_none_is_refused(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    code = launch.follow(
        launch.worker(tmp_path / "job.json"),
        launch.environment(dict(os.environ)),
    )
    assert code == 1
