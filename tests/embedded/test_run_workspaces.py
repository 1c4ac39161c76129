"""`touchstone run -w NAME=FOLDER`: the step works in that very folder, however the path leads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.engine.pod.process import SWITCH, Guard
from touchstone.errors import UsageError

_TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: look}
spec:
  workspaces: [{name: shared}]
  results: [{name: found}]
  steps:
  - name: s
    image: busybox
    script: |
      found="$(workspaces.shared.bound) $(ls $(workspaces.shared.path)) "
      printf %s "$found" > $(results.found.path)
      echo written > $(workspaces.shared.path)/out
"""


@pytest.fixture(params=["namespaces", "without"], autouse=True)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every promise holds where steps have mounts of their own, and where they have none."""
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "f").write_text("hi")
    if request.param == "without":
        monkeypatch.setenv(SWITCH, "off")
        return
    guard = Guard()
    why = guard.without_namespaces()
    guard.close()
    if why:
        pytest.skip(f"no mount namespaces here: {why}")


def _run(text: str, *arguments: str) -> Result:
    Path("definitions.yaml").write_text(text)
    return CliRunner().invoke(_app(), ["run", "-f", "definitions.yaml", "--json", *arguments])


def _worked_in_src(result: Result) -> None:
    assert result.exit_code == 0, result.output
    assert '"value": "true f "' in result.stdout
    assert Path("src/out").read_text() == "written\n"


def test_a_relative_folder_is_read_and_written():
    _worked_in_src(_run(_TASK, "-w", "shared=src"))


def test_an_absolute_folder_is_read_and_written(tmp_path):
    _worked_in_src(_run(_TASK, "-w", f"shared={tmp_path / 'src'}"))


def test_a_folder_behind_links_is_read_and_written(tmp_path):
    Path("linked").symlink_to("src")
    Path("around").symlink_to(tmp_path)
    _worked_in_src(_run(_TASK, "-w", "shared=around/linked"))


def test_a_home_and_volumes_that_are_links_change_nothing(tmp_path, monkeypatch):
    for name in ("home", "volumes", "workspaces"):
        (tmp_path / f"real-{name}").mkdir()
    Path("home").symlink_to("real-home")
    for name in ("volumes", "workspaces"):
        Path(f"home/{name}").symlink_to(tmp_path / f"real-{name}")
    _worked_in_src(_run(_TASK, "-w", "shared=src"))


def test_a_temporary_folder_that_is_a_link_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "real-tmp").mkdir()
    Path("tmp").symlink_to("real-tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    _worked_in_src(_run(_TASK, "-w", "shared=src"))


_PIPELINE = (
    _TASK
    + """
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  workspaces: [{name: all}]
  tasks:
  - name: a
    taskRef: {name: look}
    workspaces: [{name: shared, workspace: all, subPath: src}]
"""
)


def test_a_part_of_the_folder_is_bound_by_its_sub_path():
    _worked_in_src(_run(_PIPELINE, "-w", "all=."))


@pytest.mark.parametrize(
    "folder, got, hint",
    [
        ("no where", "got no where", "mkdir -p 'no where'"),
        ("definitions.yaml", "got definitions.yaml", "give the folder that the file is in"),
        ("", "got nothing", "-w NAME=. is this folder"),  # a variable of the shell that is not set
    ],
)
def test_what_is_no_folder_is_refused_before_anything_runs(folder, got, hint):
    result = _run(_TASK, "-w", f"shared={folder}")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"-w: {got}, expected an existing folder"
    assert result.exception.hint == hint


@pytest.mark.parametrize("program", ["./true", "src/true", "$(workspaces.shared.path)/f"])
def test_a_program_of_the_folder_is_never_another_of_that_name(program):
    """A build that left no `./test` must not pass because this machine has one on PATH."""
    text = _TASK[: _TASK.index("    script")] + f"    command: [{program}]\n"
    text += "    workingDir: $(workspaces.shared.path)\n"
    result = _run(text, "-w", "shared=src")
    assert result.exit_code == 1, result.output
    assert '"exitCode": 1' in result.stdout
    assert "it could not start: got the program '" in result.stderr


def test_a_folder_that_a_step_exchanges_for_a_link_is_not_followed(tmp_path):
    """Whoever may write around a bound folder reaches nothing through it that is not theirs."""
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "key").write_text("s3cret")
    text = f"""
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: p}}
spec:
  workspaces: [{{name: around}}, {{name: src}}]
  tasks:
  - name: exchange
    workspaces: [{{name: around}}]
    taskSpec:
      steps:
      - name: s
        image: busybox
        script: cd $(workspaces.around.path); mv src moved; ln -s {tmp_path}/private src
  - name: look
    runAfter: [exchange]
    workspaces: [{{name: src}}]
    taskSpec:
      steps: [{{name: s, image: busybox, script: "cat $(workspaces.src.path)/key"}}]
"""
    result = _run(text, "-w", "around=.", "-w", "src=src")
    assert result.exit_code == 1
    assert "expected the folder that was bound" in result.stdout
    assert "s3cret" not in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
def test_a_step_of_another_user_works_in_a_folder_that_is_theirs(tmp_path):
    os.chown(tmp_path / "src", 65532, 65532)
    user = "securityContext: {runAsUser: 65532, runAsGroup: 65532}"
    _worked_in_src(
        _run(_TASK.replace("image: busybox", f"image: busybox\n    {user}"), "-w", "shared=src")
    )
