"""A run that was admitted but cannot begin ends with Tekton's own reason and words."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_runs import run_text

_PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: pl}
spec:
  params:
  - {name: word, enum: [a, b]}
  - {name: words, type: array, default: []}
  - {name: thing, type: object, properties: {x: {type: string}, y: {type: string}},
     default: {x: "1"}}
  workspaces: [{name: w}]
  tasks:
  - name: one
    taskSpec: {results: [{name: r}], steps: [{name: s, script: exit 0}]}
  - {name: two, TWO}
---
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  params: [{name: p, default: x}]
  steps: [{name: s, script: exit 0}]
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: run}
spec:
  pipelineRef: {name: NAME}
  params: [PARAMS]
  workspaces: [BOUND]
"""
_RIGHT = {
    "TWO": "taskRef: {name: t}",
    "NAME": "pl",
    "PARAMS": "{name: word, value: a}, {name: thing, value: {y: '2'}}",
    "BOUND": "{name: w, emptyDir: {}}",
}
_ABOUT = "[User error] PipelineRun default/run"
_REFUSED = {
    "missing": (
        {"PARAMS": ""},
        "ParameterMissing",
        f"{_ABOUT} is missing some parameters required by Pipeline default/pl:"
        " pipelineRun missing parameters: [word]",
    ),
    "type": (
        {"PARAMS": "{name: word, value: a}, {name: words, value: x}"},
        "ParameterTypeMismatch",
        f"{_ABOUT} parameters have mismatching types with Pipeline default/pl's parameters:"
        " parameters have inconsistent types : [words]",
    ),
    "enum": (
        {"PARAMS": "{name: word, value: c}"},
        "InvalidParamValue",
        f"{_ABOUT} parameters have invalid value: param `word` value: c is not in the enum list",
    ),
    "keys": (
        {"PARAMS": "{name: word, value: a}"},
        "ObjectParameterMissKeys",
        f"{_ABOUT} parameters is missing object keys required by Pipeline default/pl's parameters:"
        " pipelineRun missing object keys for parameters: map[thing:[y]]",
    ),
    "workspace": (
        {"BOUND": ""},
        "InvalidWorkspaceBindings",
        f"{_ABOUT} doesn't bind Pipeline default/pl's Workspaces correctly: pipeline requires"
        ' workspace with name "w" be provided by pipelinerun',
    ),
    "pipeline": (
        {"NAME": "absent"},
        "CouldntGetPipeline",
        "Error retrieving pipeline for pipelinerun default/run: ",
    ),
    "task": (
        {"TWO": "taskRef: {name: absent}"},
        "CouldntGetTask",
        "Pipeline default/pl can't be Run; it contains Tasks that don't exist: Couldn't retrieve"
        ' Task "absent": ',
    ),
    "result": (
        {"TWO": "taskRef: {name: t}, params: [{name: p, value: $(tasks.one.results.no)}]"},
        "InvalidTaskResultReference",
        'invalid result reference in pipeline task "two": "no" is not a named result returned by'
        ' pipeline task "one"',
    ),
}


def _filled(values: dict[str, str]) -> str:
    text = _PIPELINE
    for name, value in {**_RIGHT, **values}.items():
        text = text.replace(name, value)
    return text


def test_what_nothing_is_wrong_with_runs(tmp_path: Path) -> None:
    assert run_text(_filled({}), tmp_path / "home").condition["reason"] == "Succeeded"


@pytest.mark.parametrize(("values", "reason", "message"), _REFUSED.values(), ids=_REFUSED)
def test_a_pipeline_run_that_cannot_begin(
    tmp_path: Path, values: dict[str, str], reason: str, message: str
) -> None:
    ran = run_text(_filled(values), tmp_path / "home")
    assert ran.condition["reason"] == reason
    assert ran.condition["message"].startswith(message)
    assert "childReferences" not in ran.status


_TASKRUN = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: run}
spec:
  params: [PARAMS]
  taskSpec:
    params:
    - {name: word, enum: [a, b]}
    - {name: thing, type: object, default: {x: "1"},
       properties: {x: {type: string}, y: {type: string}}}
    steps: [{name: s, script: exit 0}]
"""
_INPUT = "[User error] invalid input params for task run: "
_REFUSED_TASKS = {
    "missing": (
        "",
        "TaskRunValidationFailed",
        f"{_INPUT}missing values for these params which have no default values: [word]",
    ),
    "type": (
        "{name: word, value: [a]}",
        "TaskRunValidationFailed",
        f"{_INPUT}param types don't match the user-specified type: [word]",
    ),
    "keys": (
        "{name: word, value: a}",
        "TaskRunValidationFailed",
        f"{_INPUT}missing keys for these params which are required in ParamSpec's properties"
        " map[thing:[y]]",
    ),
    "enum": (
        "{name: word, value: c}, {name: thing, value: {y: '2'}}",
        "InvalidParamValue",
        "[User error] param `word` value: c is not in the enum list",
    ),
}


@pytest.mark.parametrize(
    ("params", "reason", "message"), _REFUSED_TASKS.values(), ids=_REFUSED_TASKS
)
def test_a_task_run_that_cannot_begin(
    tmp_path: Path, params: str, reason: str, message: str
) -> None:
    ran = run_text(_TASKRUN.replace("PARAMS", params), tmp_path / "home")
    assert (ran.condition["reason"], ran.condition["message"]) == (reason, message)


_RESULTS = {
    "type": (
        "{name: r, type: array}",
        "printf x",
        "TaskRunValidationFailed",
        "[User error] Provided results don't match declared results; may be invalid JSON or missing"
        ' result declaration:  "r": task result is expected to be "array" type but was initialized'
        ' to a different type "string"',
    ),
    "keys": (
        "{name: r, type: object, properties: {x: {type: string}, y: {type: string}}}",
        """printf '{"x": "1"}'""",
        "TaskRunValidationFailed",
        "[User error] missing keys for these results which are required in TaskResult's properties"
        " map[r:[y]]",
    ),
    "size": (
        "{name: r}",
        "head -c 4097 /dev/zero",
        "StepFailed",
        '"step-s" exited with code 1: Error',
    ),
}


@pytest.mark.parametrize(("result", "script", "reason", "message"), _RESULTS.values(), ids=_RESULTS)
def test_a_task_run_whose_results_are_not_as_declared(
    tmp_path: Path, result: str, script: str, reason: str, message: str
) -> None:
    text = _TASKRUN.partition("  params:")[0]
    text += f"  taskSpec:\n    results: [{result}]\n    steps:\n    - name: s\n"
    text += f"      script: |-\n        {script} > $(results.r.path)\n"
    ran = run_text(text, tmp_path / "home")
    assert (ran.condition["reason"], ran.condition["message"]) == (reason, message)


def test_a_task_run_of_an_absent_task(tmp_path: Path) -> None:
    text = _TASKRUN.partition("  params:")[0] + "  taskRef: {name: absent}\n"
    ran = run_text(text, tmp_path / "home")
    assert ran.condition["reason"] == "TaskRunResolutionFailed"
