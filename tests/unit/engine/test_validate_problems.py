"""All problems of a document are found at once, and who refuses each is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from touchstone import cli
from touchstone.commands.validate import examine
from touchstone.engine.text.load import load_files, load_text

_ROOT = Path(__file__).parents[3]
_MANY = """\
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  params: [{name: words, type: array, default: x}]
  tasks:
    - name: Bad_Name
      runAfter: [nobody]
      taskSpec:
        steps:
          - {name: s, image: bash, script: "echo $(params.absent)", command: [sh]}
          - {name: s, image: bash, script: "echo $(params.words)"}
  finally:
    - {name: last, taskRef: {name: t}, runAfter: [Bad_Name]}
"""


def test_every_problem_of_a_pipeline_is_found_with_its_place() -> None:
    problems, _ = examine(load_text(_MANY, "many.yaml"))
    # Of an array of the Pipeline the webhook does not know the type inside an embedded Task.
    (ours,) = [problem for problem in problems if problem.refused_by == "embedded"]
    assert ours.message.endswith("expected it as an item of a list, or one item of it")
    found = {problem.location.split(":")[1] for problem in problems}
    assert found == {"5", "7", "8", "11", "12", "14"}
    assert len(problems) == 8


def test_every_unknown_field_is_found_not_only_the_first() -> None:
    text = "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec:\n  a: 1\n  b: 2\n"
    problems, _ = examine(load_text(text, "t.yaml"))
    assert [problem.location for problem in problems] == ["t.yaml:5:3", "t.yaml:6:3", "t.yaml:4:1"]


def test_other_kinds_are_skipped_with_a_note() -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
    problems, notes = examine(load_text(text, "s.yaml"))
    assert problems == []
    assert notes == ["s.yaml:1:1: Service of v1 not checked"]
    _, (note,) = examine(load_text("apiVersion: v1\nkind: ModelPipeline\n", "touchstone.yaml"))
    assert note.endswith("ModelPipeline of v1 not checked; name its folder to check it")


def test_what_only_the_engine_refuses_is_said_apart() -> None:
    text = (
        "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: t}\n"
        "spec: {taskRef: {resolver: nowhere}, managedBy: another}\n"
    )
    problems, _ = examine(load_text(text, "t.yaml"))
    assert problems
    assert {problem.refused_by for problem in problems} == {"embedded"}


def test_breakpoints_are_held_to_tekton_s_rules() -> None:
    text = (
        "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {name: t}\nspec:\n"
        "  taskRef: {name: t}\n  debug:\n    breakpoints:\n      beforeSteps: [a, b, a]\n"
    )
    problems, _ = examine(load_text(text, "t.yaml"))
    assert [problem.location for problem in problems] == ["t.yaml:7:5", "t.yaml:8:27"]
    assert {problem.refused_by for problem in problems} == {"tekton"}


def test_the_projects_own_yaml_is_valid() -> None:
    assert examine(load_files([_ROOT / "tekton"]))[0] == []


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_problems_and_exits_with_4(tmp_path: Path, as_json: bool) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(_MANY)
    arguments = ["validate", str(file), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(cli._app(), arguments)
    assert getattr(result.exception, "exit_code", None) == 4
    if as_json:
        assert len(json.loads(result.stdout)["problems"]) == 8
    else:
        assert result.stdout.count(": invalid: ") == 7
        assert result.stdout.count(": not here: ") == 1
