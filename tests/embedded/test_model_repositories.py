"""Several models in one platform: `touchstone model`, and who is meant by `--model`."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.errors import PlatformError, TouchstoneError, UsageError
from touchstone.events import inside
from touchstone.home import Home
from touchstone.platform.addresses import Addresses
from touchstone.platform.embedded import listener_of, prepare
from touchstone.runs.lookup import settle
from touchstone.runs.store import State


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("TOUCHSTONE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / ".touchstone")


def touchstone(*arguments: str) -> str:
    result = CliRunner().invoke(_app(), arguments)
    if isinstance(result.exception, TouchstoneError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def push(home: Home, name: str) -> None:
    """Put a commit into the repository `name`, past its hook."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    repository = home.model_repositories[name]
    subprocess.run(["git", "mktree"], cwd=repository, input=b"", check=True, capture_output=True)
    made = subprocess.run(
        ["git", *identity, "commit-tree", tree, "-m", "A model"],
        cwd=repository, check=True, capture_output=True, text=True,
    )  # fmt: skip
    subprocess.run(
        ["git", "update-ref", "refs/heads/main", made.stdout.strip()], cwd=repository, check=True
    )


def run_of(home: Home, repository: str, number: int) -> str:
    name = f"{repository}-{number}"
    params = [{"name": "repo-url", "value": home.repository(repository).as_uri()}]
    annotations = {"touchstone.dev/repository": repository}
    State(home.root).add_run(
        {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"params": params, "pipelineSpec": {"tasks": []}},
        }
    )
    return name


def end(home: Home, name: str, model: str) -> None:
    """The run read its touchstone.yaml and ended."""
    state, task = State(home.root), f"{name}-fetch-source"
    state.save_taskrun(name, task, {"results": [{"name": "model", "value": model}]})
    child = {"name": task, "pipelineTaskName": "fetch-source"}
    state.save_run(name, {"childReferences": [child]}, done=True)


def test_up_makes_the_first_repository_unless_there_is_one(home, tmp_path):
    touchstone("model", "add", "fraud")
    prepare(home, Addresses(listener=1, serving=2))
    assert list(home.model_repositories) == ["fraud"]
    other = Home(tmp_path / "other")
    prepare(other, Addresses(listener=1, serving=2))
    assert list(other.model_repositories) == ["model"]


def test_each_repository_says_where_to_push_and_each_tells_the_listener(home):
    prepare(home, Addresses(listener=1, serving=2))
    said = touchstone("model", "add", "fraud")
    assert f"git remote add touchstone {home.root}/git/fraud.git" in said
    prepare(home, Addresses(listener=7, serving=8))
    for repository in home.model_repositories.values():
        assert "http://127.0.0.1:7/" in (repository / "hooks" / "post-receive").read_text()
    document = json.loads(touchstone("status", "--json"))
    assert set(document["modelRepositories"]) == {"fraud", "model"}


def test_the_newest_run_of_a_model_is_found_by_any_of_its_names(home):
    prepare(home, Addresses(listener=1, serving=2))
    touchstone("model", "add", "fraud")
    one, other = run_of(home, "fraud", 1), run_of(home, "model", 2)
    end(home, one, "card-fraud")
    for model in ("fraud", "card-fraud"):
        (row,) = json.loads(touchstone("runs", "--model", model, "--json"))
        assert row["name"] == one
        assert json.loads(touchstone("describe", "--model", model, "--json"))["name"] == one
    assert json.loads(touchstone("describe", "--json"))["name"] == other
    with pytest.raises(UsageError, match="no run of the model 'absent'"):
        touchstone("logs", "--model", "absent")
    listed = {row["name"]: row for row in json.loads(touchstone("model", "list", "--json"))}
    assert listed["fraud"]["run"]["name"] == one and listed["model"]["run"]["name"] == other
    status = json.loads(touchstone("status", "--model", "card-fraud", "--json"))
    assert list(status["modelRepositories"]) == ["fraud"]
    assert [run["name"] for run in status["runs"]] == [one]


def test_history_is_lost_only_when_asked_for_and_never_below_a_run(home):
    prepare(home, Addresses(listener=1, serving=2))
    touchstone("model", "add", "fraud")
    touchstone("model", "remove", "fraud")
    touchstone("model", "add", "fraud")
    push(home, "fraud")
    with pytest.raises(UsageError, match="holds 1 commit, which would be lost"):
        touchstone("model", "remove", "fraud")
    name = run_of(home, "fraud", 1)
    with pytest.raises(PlatformError, match=f"the run {name} of fraud has not ended"):
        touchstone("model", "remove", "fraud", "--yes")
    end(home, name, "card-fraud")
    touchstone("model", "remove", "fraud", "--yes")
    assert list(home.model_repositories) == ["model"]
    with pytest.raises(UsageError, match="there is no model repository 'fraud'"):
        touchstone("model", "remove", "fraud")


def scheduled(home: Home, repository: str) -> tuple[str, list[str]]:
    """What a schedule for that repository leads to: one sentence, and where its run clones from."""
    headers = {
        "content-type": "application/json", "ce-specversion": "1.0", "ce-source": "/schedules/x",
        "ce-id": repository, "ce-type": "dev.knative.sources.ping",
    }  # fmt: skip
    url = f"https://git.example.com/{repository}.git"
    body = {"url": url, "repository": repository, "branch": "main", "forge": ""}
    state = State(home.root)
    inside.put(state, headers, json.dumps(body).encode(), listener=inside.SOURCES)
    listener_of(home, state).process_pending()
    (event,) = state.events(limit=1)
    params = [
        {item["name"]: item["value"] for item in state.run(name).manifest["spec"]["params"]}
        for name in event.runs
    ]
    return event.summary, [Path(one["repo-url"]).name for one in params]


def test_a_schedule_retrains_the_model_that_it_names(home):
    prepare(home, Addresses(listener=1, serving=2))
    assert scheduled(home, "vision/detector")[1] == ["model.git"]
    touchstone("model", "add", "detector")
    assert scheduled(home, "vision/detector2")[0] == (
        "nothing started: got the repository 'vision/detector2', expected one of detector, model"
    )
    assert scheduled(home, "audio/detector")[1] == ["detector.git"]


def test_who_asks_for_the_newest_run_means_the_one_that_comes_of_the_last_event(home):
    prepare(home, Addresses(listener=1, serving=2))
    state = State(home.root)
    state.add_event(source="github", event_id="1", headers={}, body=b"{}")
    settle(home, seconds=60)  # no platform runs: nobody would process it
    own = psutil.Process()
    document = {"pid": own.pid, "started": own.create_time()}
    home.platform_file.write_text(json.dumps(document))
    (event,) = state.pending_events()
    threading.Timer(0.3, lambda: state.finish_event(event.id, outcome="", summary="")).start()
    settle(home, seconds=60)
    assert state.pending_events() == []
