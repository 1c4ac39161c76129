"""The whole platform as people use it: push, kill -9, review, predict, and a refused push."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from touchstone.home import Home
from touchstone.state import State

_MODEL = "diabetes-progression"
_AUTHOR = ["-c", "user.name=A Developer", "-c", "user.email=developer@example.org"]


def _free_ports() -> int:
    """A port that is free, as is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Platform:
    """A home of its own, and the process that serves it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.work = root / "work"
        self.port = _free_ports()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TOUCHSTONE_HOME": str(self.home.root)}

    @property
    def state(self) -> State:
        return State(self.home.root)

    def up(self) -> None:
        self.home.logs.mkdir(parents=True, exist_ok=True)
        with (self.home.logs / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "touchstone", "up", f"--port={self.port}"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        _until(lambda: self.home.platform() is not None, 60, "the platform did not start")

    def kill(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "touchstone", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def said(self, *arguments: str) -> str:
        done = self.call(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *_AUTHOR, *arguments], cwd=cwd or self.work, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, message: str) -> str:
        """Commit and push; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", str(self.home.model_repository), "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def stage(self, run: str, name: str) -> dict[str, Any]:
        return self.state.taskruns(run).get(f"{run}-{name}", {})


def _until(holds: Any, seconds: float, problem: str) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, problem
        time.sleep(0.1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("whole"))
    platform.said("init", str(platform.work))
    platform.git("init", "--quiet", "--initial-branch=main")
    platform.up()
    yield platform
    platform.said("down")


def test_a_killed_platform_goes_on_from_the_last_finished_stage(platform: Platform) -> None:
    platform.push("A first model")
    _until(lambda: platform.state.runs(), 30, "the push started no run")
    run = platform.state.runs()[0].name
    _until(lambda: platform.stage(run, "tune").get("steps") == [], 90, "tune did not start")
    platform.kill()
    finished = {
        name: status
        for name, status in platform.state.taskruns(run).items()
        if status.get("completionTime")
    }
    assert {f"{run}-fetch-source", f"{run}-preprocess"} <= set(finished)

    platform.up()
    assert platform.call("watch", run).returncode == 0
    assert [one.name for one in platform.state.runs()] == [run]
    after = platform.state.taskruns(run)
    assert {name: after[name] for name in finished} == finished
    assert platform.stage(run, "promote")["conditions"][0]["status"] == "True"


def test_a_merged_promotion_is_served_and_answers(platform: Platform) -> None:
    (waiting,) = json.loads(platform.said("review", "list", "--json"))
    assert waiting["model"] == _MODEL and not waiting["obstacles"]
    folder = platform.home.root / "shown"
    shown = platform.said("review", "show", _MODEL, "--to", str(folder))
    assert "# Trust report: passed" in shown
    assert {"fairness.png", "robustness-epsilon.png"} <= {file.name for file in folder.iterdir()}
    merged = platform.said("review", "approve", _MODEL, "--reviewer=Rita <rita@example.org>")
    assert merged.startswith("merged promote/")
    _until(lambda: _MODEL in platform.said("status", "--json"), 90, "the model was not served")
    answer = json.loads(platform.said("predict", _MODEL, "--json"))
    assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    assert "again: curl -s http://127.0.0.1" in platform.said("predict", _MODEL, "--sample=3")


def test_a_refused_push_says_why_and_changes_nothing(platform: Platform) -> None:
    file = platform.work / "touchstone.yaml"
    file.write_text(file.read_text().replace("atLeast: 0.60", "atLeast: 0.99"))
    before = platform.git("rev-parse", "main", cwd=platform.home.gitops_repository)
    commit = platform.push("Promise more than it keeps")
    _until(lambda: len(platform.state.runs()) == 2, 30, "the push started no run")
    run = platform.state.runs()[-1].name
    assert platform.call("watch", run).returncode == 5
    note = platform.git(
        *("notes", "--ref=touchstone-status", "show", commit), cwd=platform.home.model_repository
    )
    status = json.loads(note)
    assert status["state"] == "failure"
    assert status["description"].startswith("refused by quality: accuracy got 0.")
    assert before == platform.git("rev-parse", "main", cwd=platform.home.gitops_repository)
    assert json.loads(platform.said("review", "list", "--json")) == []
    assert json.loads(platform.said("predict", _MODEL, "--json"))["outputs"]


def test_a_wrong_touchstone_yaml_is_refused_before_anything_else_runs(platform: Platform) -> None:
    file = platform.work / "touchstone.yaml"
    file.write_text(file.read_text().replace("  train:\n", "  train:\n    wokers: 2\n"))
    platform.push("A typo")
    _until(lambda: len(platform.state.runs()) == 3, 30, "the push started no run")
    run = platform.state.runs()[-1].name
    watched = platform.call("watch", run)
    assert watched.returncode == 1
    (line,) = [line for line in watched.stdout.splitlines() if "fetch-source: failed" in line]
    assert "touchstone.yaml:21:5: got unknown key spec.train.wokers" in line
    assert list(platform.state.taskruns(run)) == [
        f"{run}-{name}" for name in ("fetch-source", "report", "notify")
    ]
