"""The whole platform as people use it: push, kill -9, review, predict, and a refused push."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from waiting import free_ports, until

from touchstone.artifacts.store import Store
from touchstone.delivery import attestation, gitops
from touchstone.events import signature
from touchstone.home import Home
from touchstone.runs.store import State
from trust_gates import GATES

pytestmark = pytest.mark.long

_MODEL = "diabetes-progression"
_AUTHOR = ["-c", "user.name=A Developer", "-c", "user.email=developer@example.org"]


class Platform:
    """A home of its own, and the process that serves it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.work = root / "work"
        self.port = free_ports()
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
        until(lambda: self.home.platform() is not None, 60, "the platform did not start")

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

    def deliver(self, event: str, body: dict[str, Any]) -> None:
        """Post a webhook as GitHub would, signed."""
        content = json.dumps(body).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": event,
            signature.HEADER: signature.sign(content, self.home.webhook_token.read_bytes()),
        }
        url = f"http://127.0.0.1:{self.port}/"
        assert httpx.post(url, content=content, headers=headers).status_code == 202

    def started(self, act: Callable[[], object], prefix: str = "model-") -> str:
        """The run whose name begins with `prefix` that `act` starts."""
        known = {run.name for run in self.state.runs()}

        def new() -> list[str]:
            names = [run.name for run in self.state.runs()]
            return [name for name in names if name.startswith(prefix) and name not in known]

        act()
        until(new, 30, f"no run {prefix}… was started")
        return new()[0]

    def stage(self, run: str, name: str) -> dict[str, Any]:
        return self.state.taskruns(run).get(f"{run}-{name}", {})


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
    until(lambda: platform.state.runs(), 30, "the push started no run")
    run = platform.state.runs()[0].name
    until(lambda: platform.stage(run, "tune").get("steps") == [], 90, "tune did not start")
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
    store = Store(platform.home.artifacts)
    asked = store.get_json(store.ref(f"runs/{run}/verdict"))["askedAs"]
    assert set(asked) == set(GATES)
    assert set(asked.values()) <= {"graph", ""}, "a gate ran the repository's code"


def test_a_merged_promotion_is_served_and_answers(platform: Platform) -> None:
    (waiting,) = json.loads(platform.said("review", "list", "--json"))
    assert waiting["model"] == _MODEL and not waiting["obstacles"]
    folder = platform.home.root / "shown"
    shown = platform.said("review", "show", _MODEL, "--to", str(folder))
    assert f"{_MODEL}: passed" in shown and "touchstone review approve" in shown
    assert f"# ✅ {_MODEL}: passed" in platform.said("review", "show", _MODEL, "--full")
    written = {file.name for file in folder.iterdir()}
    assert {"fairness.png", "robustness-epsilon.png", "trust-report.html"} <= written
    rita = "--reviewer=Rita <rita@example.org>"
    assert platform.said("review", "hold", _MODEL, rita).startswith("held promote/")
    refused = platform.call("review", "approve", _MODEL, rita)
    assert refused.returncode == 1
    assert " holds it since" in refused.stderr and "Rita" not in refused.stderr
    assert platform.said("review", "unhold", _MODEL, rita).startswith("released promote/")
    stranger = platform.home.root / "stranger"
    key = f"--key={attestation.generate_keys(stranger).private}"
    refused = platform.call("review", "approve", _MODEL, rita, key)
    assert refused.returncode == 1
    assert 'add there, below keys:, the line rita: "ed25519:' in " ".join(refused.stderr.split())
    merged = platform.said("review", "approve", _MODEL, rita)
    assert merged.startswith("merged promote/")
    until(lambda: _MODEL in platform.said("status", "--json"), 90, "the model was not served")
    answer = json.loads(platform.said("predict", _MODEL, "--json"))
    assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    assert "again: curl -s http://127.0.0.1" in platform.said("predict", _MODEL, "--sample=3")


def _status(platform: Platform, commit: str) -> dict[str, dict[str, Any]]:
    """The statuses of a commit by context."""
    note = platform.git(
        *("notes", "--ref=touchstone-status", "show", commit), cwd=platform.home.model_repository
    )
    return {status["context"]: status for status in map(json.loads, note.splitlines())}


def test_a_pull_request_is_judged_reported_and_not_promoted(platform: Platform) -> None:
    platform.git("checkout", "--quiet", "-b", "better")
    # The same tree: what main's run made is taken from the cache, promote alone differs.
    platform.git("commit", "--quiet", "--allow-empty", "--message", "Nothing new")
    commit = platform.git("rev-parse", "HEAD")
    bare = str(platform.home.model_repository)
    platform.git("push", "--quiet", bare, "HEAD:refs/heads/better", "HEAD:refs/pull/7/head")
    before = platform.git("show-ref", cwd=platform.home.gitops_repository)
    body = {**_pull_request(platform), "action": "opened"}
    body["pull_request"]["head"]["sha"] = commit
    run = platform.started(lambda: platform.deliver("pull_request", body), "model-check-")
    assert platform.call("watch", run).returncode == 0
    status = platform.state.run(run).status  # type: ignore[union-attr]
    assert status["conditions"][0]["reason"] == "Completed"
    assert [task["name"] for task in status["skippedTasks"]] == ["promote"]
    assert {result["name"] for result in status["results"]} == {"verdict"}
    for stage in ("report", "notify"):
        assert platform.stage(run, stage)["conditions"][0]["status"] == "True"
    told = _status(platform, commit)["touchstone"]
    assert told["state"] == "success"
    assert "; nothing was promoted" in told["description"]
    assert before == platform.git("show-ref", cwd=platform.home.gitops_repository)


def _pull_request(platform: Platform) -> dict[str, Any]:
    url = platform.home.model_repository.as_uri()
    repository = {"name": "model", "full_name": "me/model", "clone_url": url}
    return {
        "number": 7,
        "repository": repository,
        "pull_request": {
            "title": "A better model",
            "head": {"ref": "better", "repo": repository},
            "base": {"ref": "main", "repo": repository},
        },
    }


def _comment(platform: Platform, text: str, author: str = "ada") -> str:
    """Comment on the pull request; the TaskRun that looked into it, once it has ended."""
    body = {
        "action": "created",
        "repository": _pull_request(platform)["repository"],
        "issue": {"number": 7, "pull_request": {"url": "https://api.github.com/…"}},
        "comment": {"id": time.time_ns(), "body": text, "user": {"login": author}},
    }
    task = platform.started(
        lambda: platform.deliver("issue_comment", body), "pull-request-command-"
    )
    assert platform.call("watch", task).returncode == 0
    return platform.said("logs", task)


def test_comments_start_and_repeat_runs_for_those_whom_people_yaml_names(
    platform: Platform,
) -> None:
    commit = platform.git("rev-parse", "better")
    assert "does not let github:ada ask for /test" in _comment(platform, "/test")
    assert "touchstone/command" not in _status(platform, commit)
    with gitops.clone(str(platform.home.gitops_repository)) as checkout:
        (checkout.path / "people.yaml").write_text("run: [github:ada]\nreview: []\n")
        checkout.commit("Let Ada ask", {})
        checkout.push("HEAD:refs/heads/main")
    run = platform.started(lambda: _comment(platform, "/test"), "model-check-")
    assert platform.call("watch", run).returncode == 0
    told = _status(platform, commit)
    assert told["touchstone/command"]["description"] == f"/test by ada: started {run}"
    assert told["touchstone"]["state"] == "success"
    _comment(platform, "/retest")
    told = _status(platform, commit)["touchstone/command"]
    assert told["description"] == f"/retest by ada: nothing failed in {run}: /test runs it anew"
    assert "does not let github:ada ask for /approve" in _comment(platform, "/approve")
    platform.git("checkout", "--quiet", "main")


def test_a_refused_push_says_why_and_changes_nothing(platform: Platform) -> None:
    file = platform.work / "touchstone.yaml"
    file.write_text(file.read_text().replace("atLeast: 0.55", "atLeast: 0.9"))
    before = platform.git("rev-parse", "main", cwd=platform.home.gitops_repository)
    run = platform.started(lambda: platform.push("Promise more than it keeps"))
    commit = platform.git("rev-parse", "HEAD")
    assert platform.call("watch", run).returncode == 5
    status = _status(platform, commit)["touchstone"]
    assert status["state"] == "failure"
    assert status["description"].startswith("refused by quality: accuracy got 0.")
    assert before == platform.git("rev-parse", "main", cwd=platform.home.gitops_repository)
    assert json.loads(platform.said("review", "list", "--json")) == []
    assert json.loads(platform.said("predict", _MODEL, "--json"))["outputs"]


def test_a_wrong_touchstone_yaml_is_refused_before_anything_else_runs(platform: Platform) -> None:
    file = platform.work / "touchstone.yaml"
    file.write_text(file.read_text().replace("  train:\n", "  train:\n    wokers: 2\n"))
    run = platform.started(lambda: platform.push("A typo"))
    watched = platform.call("watch", run)
    assert watched.returncode == 1
    (line,) = [line for line in watched.stdout.splitlines() if "validate: failed" in line]
    assert "touchstone.yaml:21:5: got unknown key spec.train.wokers" in line
    status = _status(platform, platform.git("rev-parse", "HEAD"))["touchstone"]
    assert status["state"] == "failure"
    assert status["description"].startswith("1 problem before training: touchstone.yaml:21:5: got")
    assert status["description"].endswith(f"; touchstone describe {run}")
    taskruns = list(platform.state.taskruns(run))
    first, last = taskruns[:3], taskruns[3:]
    assert first == [f"{run}-{stage}" for stage in ("fetch-source", "packages", "validate")]
    assert sorted(last) == [f"{run}-notify", f"{run}-report"]  # finally tasks start together
