"""The engine follows no link and opens no special file that a step left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_runs import Ran, run_text

from touchstone.engine import Notice, StepStarted, StepWaiting
from touchstone.engine.pod.process import SWITCH, Guard
from touchstone.runs.store import State

_SECRET = "-----BEGIN PRIVATE KEY-----"
_LOGIN = """
apiVersion: v1
kind: Secret
metadata: {name: login, annotations: {tekton.dev/git-0: git.example}}
type: kubernetes.io/ssh-auth
stringData: {ssh-privatekey: s3cret}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
secrets: [{name: login}]
---
"""


@pytest.fixture(params=["namespaces", "without"], autouse=True)
def namespaces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise holds where steps have mounts of their own, and where they have none."""
    if request.param == "without":
        monkeypatch.setenv(SWITCH, "off")
        return
    guard = Guard()
    why = guard.without_namespaces()
    guard.close()
    if why:
        pytest.skip(f"no mount namespaces here: {why}")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the engine's own, that a step of another user may not read."""
    file = tmp_path / "private.pem"
    file.touch(mode=0o600)
    file.write_text(_SECRET)
    return file


def _run(
    tmp_path: Path, spec: str, *, before: str = "", watch: Callable[[Notice], None] | None = None
) -> Ran:
    body = "\n".join(f"    {line}" for line in spec.strip("\n").split("\n"))
    return run_text(
        f"{before}apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {{name: r}}\nspec:\n"
        f"  timeout: 60s\n  workspaces: [{{name: w, emptyDir: {{}}}}]\n  taskSpec:\n{body}\n",
        tmp_path / "home",
        watch=watch or (lambda _: None),
    )


def _log(ran: Ran, step: str) -> str:
    return (ran.home / "logs" / "r" / "r" / f"{step}.log").read_text()


_AS_NOBODY = "securityContext: {runAsUser: 65532, runAsGroup: 65532}"
_RESULT = f"""
results: [{{name: r}}]
steps:
- name: s
  image: alpine
  {_AS_NOBODY}
  script: LEAVE
"""
_LEFT = {
    "a link to what the step may not read": ("ln -s SECRET", "a symbolic link"),
    "a link without an end": ("ln -s /dev/zero", "a symbolic link"),
    "a FIFO": ("mkfifo", "a FIFO"),
    "a folder": ("mkdir", "a folder"),
}


@pytest.mark.parametrize(("command", "named"), _LEFT.values(), ids=_LEFT)
def test_a_result_that_is_no_file_of_the_step_fails_the_taskrun_unread(
    tmp_path: Path, secret: Path, command: str, named: str
) -> None:
    leave = f"{command.replace('SECRET', str(secret))} $(results.r.path)"
    ran = _run(tmp_path, _RESULT.replace("LEAVE", leave))
    assert ran.condition["reason"] == "TaskRunValidationFailed"
    problem = f'invalid result "r": got {named}, expected a regular file'
    assert ran.condition["message"].endswith(problem)
    assert "results" not in ran.status and _SECRET not in str(ran.status)


def test_of_a_result_without_an_end_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    ran = _run(tmp_path, _RESULT.replace("LEAVE", "truncate -s 20G $(results.r.path)"))
    assert ran.condition["reason"] == "StepFailed"
    assert "expected at most 4096: write large values to" in _log(ran, "s")


@pytest.mark.parametrize("left", ["mkfifo", "ln -s /dev/zero", "mkdir"])
def test_a_step_result_and_a_provenance_that_are_no_files_end_the_taskrun(
    tmp_path: Path, left: str
) -> None:
    spec = """
    steps:
    - {name: a, image: bash, results: [{name: x}], script: LEFT $(step.results.x.path)}
    - {name: b, image: bash, script: "true"}
    """.replace("\n    ", "\n")
    ran = _run(tmp_path, spec.replace("LEFT", left))
    assert ran.condition["reason"] == "TaskRunValidationFailed"
    assert [step["terminationReason"] for step in ran.status["steps"]] == ["Completed", "Skipped"]
    for place in ("step.artifacts.path", "artifacts.path"):
        spec = f"steps: [{{name: a, image: bash, script: {left} $({place})}}]"
        ran = _run(tmp_path / place, spec)
        assert ran.condition["reason"] == "Failed"
        assert "artifacts: got a" in ran.condition["message"]


def test_a_step_that_fails_is_told_before_what_it_left(tmp_path: Path) -> None:
    spec = """
steps:
- name: a
  image: bash
  results: [{name: x}]
  script: |
    mkfifo $(step.results.x.path)
    exit 3
"""
    ran = _run(tmp_path, spec)
    assert ran.condition["message"] == '"step-a" exited with code 3: Error'


def test_a_fifo_does_not_keep_a_run_from_being_cancelled(tmp_path: Path) -> None:
    spec = """
results: [{name: r}]
steps:
- name: a
  image: bash
  results: [{name: x}]
  script: |
    mkfifo $(results.r.path) $(step.results.x.path)
    echo made
    sleep 50
"""

    def watch(notice: Notice) -> None:
        if isinstance(notice, StepStarted):
            threading.Thread(target=cancel, args=(notice.log,), daemon=True).start()

    def cancel(log: Path) -> None:
        while not (log.exists() and "made" in log.read_text()):
            time.sleep(0.05)
        State(tmp_path / "home").set_spec_status("r", "TaskRunCancelled")

    began = time.monotonic()
    ran = _run(tmp_path, spec, watch=watch)
    assert ran.condition["reason"] == "TaskRunCancelled"
    assert time.monotonic() - began < 20


_COPIED = f"""
workspaces: [{{name: w}}]
steps:
- name: a
  image: alpine
  {_AS_NOBODY}
  script: LEAVE
- name: b
  image: alpine
  {_AS_NOBODY}
  stdoutConfig: {{path: $(workspaces.w.path)/PATH}}
  script: echo written through stdoutConfig
"""


@pytest.mark.parametrize(
    ("leave", "path"),
    [
        ("ln -s OUT/written $(workspaces.w.path)/log", "log"),
        ("ln -s OUT $(workspaces.w.path)/way", "way/written"),
        ("mkfifo $(workspaces.w.path)/log", "log"),
    ],
    ids=["link", "link on the way", "fifo"],
)
def test_no_output_is_copied_through_a_link_or_into_a_fifo(
    tmp_path: Path, leave: str, path: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    spec = _COPIED.replace("LEAVE", leave.replace("OUT", str(out))).replace("PATH", path)
    ran = _run(tmp_path, spec)
    assert ran.condition["message"] == '"step-b" exited with code 1: Error'
    assert "could not start" in _log(ran, "b") and "got a" in _log(ran, "b")
    assert not list(out.iterdir())


def test_output_is_copied_anew_into_a_file_that_a_step_left(tmp_path: Path) -> None:
    spec = """
results: [{name: r}]
workspaces: [{name: w}]
steps:
- {name: a, image: bash, script: echo old old old > $(workspaces.w.path)/log}
- name: b
  image: bash
  stdoutConfig: {path: $(workspaces.w.path)/log}
  stderrConfig: {path: $(workspaces.w.path)/new/log}
  script: printf new; printf err >&2
- name: c
  image: bash
  script: cat $(workspaces.w.path)/log $(workspaces.w.path)/new/log > $(results.r.path)
"""
    ran = _run(tmp_path, spec)
    assert ran.results == {"r": "newerr"}, ran.condition


def test_an_exit_code_is_written_in_place_of_a_link(tmp_path: Path, secret: Path) -> None:
    spec = """
results: [{name: r}]
steps:
- {name: a, image: bash, script: "ln -s SECRET $(steps.step-a.exitCode.path); exit 7", onError: continue}
- {name: b, image: bash, script: cat $(steps.step-a.exitCode.path) > $(results.r.path)}
"""  # noqa: E501
    ran = _run(tmp_path, spec.replace("SECRET", str(secret)))
    assert ran.results == {"r": "7"}, ran.condition
    assert secret.read_text() == _SECRET


def test_credentials_are_written_through_no_link(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    before = out.stat()
    spec = f"""
steps:
- {{name: a, image: bash, script: rm -rf $HOME/.ssh; ln -s {out} $HOME/.ssh}}
- {{name: b, image: bash, script: "true"}}
"""
    ran = _run(tmp_path, spec, before=_LOGIN)
    assert ran.condition["message"] == '"step-b" exited with code 1: Error'
    assert "its credentials cannot be written" in _log(ran, "b")
    after = out.stat()
    assert not list(out.iterdir()) and (before.st_uid, before.st_mode) == (
        after.st_uid,
        after.st_mode,
    )


def test_credentials_belong_to_the_step_s_user(tmp_path: Path) -> None:
    spec = f"""
results: [{{name: r}}]
steps:
- {{name: a, image: bash, script: "true"}}
- name: b
  image: alpine
  {_AS_NOBODY}
  script: cat $HOME/.ssh/id_login > $(results.r.path)
"""
    assert _run(tmp_path, spec, before=_LOGIN).results == {"r": "s3cret"}


def test_a_working_folder_is_made_through_no_link(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    spec = f"""
workspaces: [{{name: w}}]
steps:
- {{name: a, image: bash, script: ln -s {out} $(workspaces.w.path)/way}}
- {{name: b, image: bash, workingDir: $(workspaces.w.path)/way/new, script: "true"}}
"""
    ran = _run(tmp_path, spec)
    assert ran.condition["message"] == '"step-b" exited with code 1: Error'
    assert not list(out.iterdir())


@pytest.mark.parametrize("left", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_an_answer_at_a_breakpoint_is_a_file_and_nothing_else(
    tmp_path: Path, left: Callable[[Path], None]
) -> None:
    waited = []

    def watch(notice: Notice) -> None:
        if isinstance(notice, StepWaiting):
            left(notice.waiting.folder / "run/0/out.breakpointexit")
            waited.append(not notice.waiting.answered)
            notice.waiting.answer(proceed=True)

    text = """apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: r}
spec:
  timeout: 20s
  debug: {breakpoints: {onFailure: enabled}}
  taskSpec: {steps: [{name: a, image: bash, script: exit 3}]}
"""
    ran = run_text(text, tmp_path / "home", watch=watch)
    assert waited == [True]
    assert ran.condition["reason"] == "Succeeded"


def test_a_workspace_s_sub_path_is_looked_at_again_for_every_step(
    tmp_path: Path, secret: Path
) -> None:
    spec = f"""
workspaces: [{{name: whole}}, {{name: part}}]
steps:
- {{name: a, image: bash, script: cd $(workspaces.whole.path); rmdir sub; ln -s {tmp_path} sub}}
- {{name: b, image: bash, script: cat $(workspaces.part.path)/{secret.name}}}
"""
    body = "\n".join(f"    {line}" for line in spec.strip("\n").split("\n"))
    claim = "persistentVolumeClaim: {claimName: shared}"
    ran = run_text(
        "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: r}\nspec:\n  workspaces:\n"
        f"  - {{name: whole, {claim}}}\n  - {{name: part, subPath: sub, {claim}}}\n"
        f"  taskSpec:\n{body}\n",
        tmp_path / "home",
    )
    assert ran.condition["status"] == "False"
    assert "got the path 'sub', expected one inside the volume" in ran.condition["message"]
