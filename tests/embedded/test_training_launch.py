"""Real processes under torch elastic: equal to one process, honest when they end, resumable."""

import os
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from touchstone.home import SHIPPED
from touchstone.training import dataset, launch
from touchstone.training.load import load_spec
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


def test_a_job_that_is_none_is_refused(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    code = launch.follow(
        launch.worker(tmp_path / "job.json"),
        launch.environment(dict(os.environ)),
    )
    assert code == 1
