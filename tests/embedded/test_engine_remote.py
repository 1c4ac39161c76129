"""Remote references through the real engine: a git repository, a web server, a bundle on disk."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from engine_runs import Ran, run_text

from touchstone.engine.text.remote import ResolutionError, fetch
from touchstone.engine.text.remote.fetched import LIMIT
from touchstone.git import git

_TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: far}
spec:
  params: [{name: word}]
  steps: [{name: s, script: "echo far $(params.word)"}]
"""

_RUN = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: remote}
spec:
  params: [{name: at, value: "VALUE"}]
  pipelineSpec:
    params: [{name: at}]
    tasks:
    - name: near
      taskSpec:
        results: [{name: r}]
        steps: [{name: s, script: "printf far > $(results.r.path)"}]
    - name: task
      params: [{name: word, value: away}]
      taskRef: {resolver: RESOLVER, params: PARAMS}
"""


def _run(home: Path, resolver: str, params: str, value: str, more: str = "") -> Ran:
    text = _RUN.replace("RESOLVER", resolver).replace("PARAMS", params).replace("VALUE", value)
    return run_text(text + more, home)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    git("init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "tasks").mkdir()
    (folder / "tasks/far.yaml").write_text(_TASK)
    git("add", ".", cwd=folder)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git(*who, "commit", "--quiet", "-m", "task", cwd=folder)
    return folder


@pytest.fixture
def server(repository: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(repository))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    (repository / "large").write_bytes(b"#" * (LIMIT + 1))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def _blob(folder: Path, content: bytes) -> str:
    value = hashlib.sha256(content).hexdigest()
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs/sha256" / value).write_bytes(content)
    return f"sha256:{value}"


def _bundle(folder: Path) -> str:
    """An OCI layout with the task, as Tekton's bundle contract says; its manifest's digest."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("far")
        member.size = len(_TASK.encode())
        tar.addfile(member, io.BytesIO(_TASK.encode()))
    labels = {"dev.tekton.image.name": "far", "dev.tekton.image.kind": "task"}
    layer = {"digest": _blob(folder, archive.getvalue()), "annotations": labels}
    digest = _blob(folder, json.dumps({"layers": [layer]}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": digest}]}))
    return digest.removeprefix("sha256:")


def test_git_resolves_with_values_of_the_run_and_tells_the_commit(
    repository: Path, tmp_path: Path
) -> None:
    commit = git("rev-parse", "HEAD", cwd=repository)
    # The path holds a result, so that it can be resolved only once the first task has run.
    # Quoted, as the short id of a commit may read as a number.
    params = (
        '[{name: url, value: $(params.at)}, {name: revision, value: "REV"},'
        " {name: pathInRepo, value: /tasks/$(tasks.near.results.r).yaml}]"
    )
    for revision in ("main", commit, commit[:9]):
        ran = _run(tmp_path / revision, "git", params.replace("REV", revision), repository.as_uri())
        assert ran.condition["reason"] == "Succeeded", ran.condition
        assert ran.log("task", "s") == "far away\n"
        assert ran.task("task")["provenance"]["refSource"] == {
            "uri": f"git+{repository.as_uri()}",
            "digest": {"sha1": commit},
            "entryPoint": "tasks/far.yaml",
        }


def test_a_step_action_is_fetched_with_values_of_the_task(repository: Path, tmp_path: Path) -> None:
    (repository / "act.yaml").write_text(
        "apiVersion: tekton.dev/v1beta1\nkind: StepAction\nmetadata: {name: act}\nspec:\n"
        "  image: bash\n  params: [{name: word}]\n"
        "  env: [{name: WORD, value: $(params.word)}]\n  script: echo act $WORD\n"
    )
    git("add", ".", cwd=repository)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git(*who, "commit", "--quiet", "-m", "action", cwd=repository)
    text = f"""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {{name: r}}
spec:
  params: [{{name: url, value: {repository.as_uri()}}}, {{name: file, value: FILE}}]
  taskSpec:
    params: [{{name: url}}, {{name: file}}]
    steps:
    - name: s
      ref:
        resolver: git
        params: [{{name: url, value: $(params.url)}}, {{name: pathInRepo, value: $(params.file)}}]
      params: [{{name: word, value: far}}]
"""
    ran = run_text(text.replace("FILE", "act.yaml"), tmp_path / "home")
    assert ran.condition["reason"] == "Succeeded", ran.condition
    assert (ran.home / "logs/r/r/s.log").read_text() == "act far\n"
    assert ran.status["steps"][0]["provenance"]["refSource"]["entryPoint"] == "act.yaml"
    failed = run_text(text.replace("FILE", "tasks/far.yaml"), tmp_path / "2")
    assert failed.condition["reason"] == "TaskRunResolutionFailed"
    assert "got 0 StepActions, expected one" in failed.condition["message"]


def test_http_and_bundles_tell_where_and_what(server: str, tmp_path: Path) -> None:
    ran = _run(
        tmp_path / "http", "http", "[{name: url, value: $(params.at)}]", f"{server}/tasks/far.yaml"
    )
    assert ran.log("task", "s") == "far away\n"
    digest = hashlib.sha256(_TASK.encode()).hexdigest()
    assert ran.task("task")["provenance"]["refSource"]["digest"] == {"sha256": digest}
    folder = tmp_path / "layout"
    digest = _bundle(folder)
    params = "[{name: bundle, value: $(params.at)}, {name: name, value: far}]"
    ran = _run(tmp_path / "bundle", "bundles", params, f"oci:{folder}")
    assert ran.log("task", "s") == "far away\n"
    assert ran.task("task")["provenance"]["refSource"] == {
        "uri": f"oci:{folder}",
        "digest": {"sha256": digest},
        "entryPoint": "far",
    }


def test_the_cluster_is_the_files_given(tmp_path: Path) -> None:
    params = "[{name: kind, value: task}, {name: name, value: $(params.at)}]"
    ran = _run(tmp_path, "cluster", params, "far", f"---{_TASK}")
    assert ran.log("task", "s") == "far away\n"


def test_what_cannot_be_fetched_is_told(server: str, repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    _bundle(folder)
    next((folder / "blobs/sha256").iterdir()).write_bytes(b"{}")
    for resolver, params, message in (
        ("http", {"url": f"{server}/absent"}, "got status 404"),
        ("http", {"url": f"{server}/large"}, "got more than 1048576 bytes"),
        ("http", {"url": "file:///etc/passwd"}, "expected http or https"),
        ("http", {}, "got no param url"),
        ("git", {"url": repository.as_uri(), "pathInRepo": "absent"}, "ended with 128"),
        ("git", {"url": "ext::sh -c id", "pathInRepo": "x"}, "ended with 128"),
        ("git", {"url": "--upload-pack=id", "pathInRepo": "x"}, "expected no leading -"),
        ("bundles", {"bundle": "registry/x", "name": "far"}, "expected oci:FOLDER"),
        ("bundles", {"bundle": f"oci:{tmp_path}/none", "name": "far"}, "no readable OCI layout"),
        ("bundles", {"bundle": f"oci:{folder}", "name": "far"}, "no readable OCI layout"),
        ("hub", {"name": "far"}, "hub.tekton.dev was shut"),
        ("mine", {}, "expected one of cluster, bundles, git, http"),
    ):
        with pytest.raises(ResolutionError, match=message):
            fetch(resolver, params)


def test_a_run_fails_where_the_remote_text_is_wrong_or_absent(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "tasks/far.yaml").write_text(_TASK.replace("steps:", "stebs:"))
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git(*who, "commit", "--quiet", "-am", "typo", cwd=repository)
    params = "[{name: url, value: $(params.at)}, {name: pathInRepo, value: tasks/far.yaml}]"
    ran = _run(tmp_path / "typo", "git", params, repository.as_uri())
    assert ran.condition["reason"] == "CouldntGetTask"
    assert "stebs" in ran.condition["message"]
    static = params.replace("$(params.at)", "file:///nowhere/at/all")
    ran = _run(tmp_path / "absent", "git", static, "x")
    assert ran.condition["reason"] == "CouldntGetTask"
    assert ran.taskruns == {}
