"""What a step's end is told as: codes, reasons and results as a real Tekton 1.15 recorded them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_runs import Ran, run_text

_RUN = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: told}
spec:
  pipelineSpec:
    tasks:
    - name: t
      TASK
      taskSpec:
        results: [{name: r}]
        steps:
        - {name: first, image: bash, script: "printf early > $(results.r.path)"}
        - STEP
        - name: after
          image: bash
          script: cat $(steps.step-s.exitCode.path) > $(results.r.path)
    FINALLY
"""
_LAST = """finally:
    - name: last
      params: [{name: r, value: $(tasks.t.results.r)}]
      taskSpec: {params: [{name: r}], steps: [{name: s, image: bash, script: "echo $(params.r)"}]}
"""


def _run(home: Path, step: str, *, task: str = "", last: str = "") -> Ran:
    text = _RUN.replace("TASK", task).replace("STEP", step).replace("FINALLY", last)
    return run_text(text, home)


def _ends(ran: Ran) -> list[tuple[Any, ...]]:
    return [
        (step["terminated"]["exitCode"], step["terminated"]["reason"], step["terminationReason"])
        for step in ran.task("t")["steps"]
    ]


_STARTED = (0, "Completed", "Completed")
_SKIPPED = (1, "Error", "Skipped")
_STEPS = {
    "an error": ("script: exit 7", (7, "Error", "Error")),
    "a signal": ('script: "kill -9 $$"', (255, "Error", "Error")),
    "a program that is not there": ("command: [/nowhere/a]", (1, "Error", "Error")),
    "its own time limit": ("script: sleep 60, timeout: 300ms", (1, "Error", "TimeoutExceeded")),
    "nothing there, ignored": (
        "command: [/nowhere/a], onError: continue",
        (1, "Error", "Error"),
    ),
}


@pytest.mark.parametrize(("step", "end"), _STEPS.values(), ids=_STEPS)
def test_a_step_that_ends_badly_has_the_code_of_tektons_entrypoint(
    tmp_path: Path, step: str, end: tuple[Any, ...]
) -> None:
    ran = _run(tmp_path / "home", f"{{name: s, image: bash, {step}}}")
    assert _ends(ran) == [_STARTED, end, _SKIPPED]
    condition = ran.task("t")["conditions"][0]
    assert condition["reason"] == "StepFailed"
    said = f"exited with code {end[0]}: Error"
    assert said in condition["message"] or end[2] == "TimeoutExceeded"
    assert ran.task("t")["results"][0]["value"] == "early"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", -1)], ids=["an error", "a signal"]
)
def test_an_ignored_failure_is_completed_and_its_code_known_to_the_next_step(
    tmp_path: Path, script: str, code: int
) -> None:
    step = f'{{name: s, image: bash, script: "{script}", onError: continue}}'
    ran = _run(tmp_path / "home", step)
    assert _ends(ran) == [_STARTED, (code, "Completed", "Continued"), _STARTED]
    assert ran.task("t")["results"][0]["value"] == str(code)


def test_results_of_a_task_that_timed_out_are_not_there_and_its_steps_say_so(
    tmp_path: Path,
) -> None:
    step = '{name: s, image: bash, script: "printf half > $(results.r.path); sleep 60"}'
    ran = _run(tmp_path / "home", step, task="timeout: 1s", last=_LAST)
    over = (1, "TaskRunTimeout", "TaskRunTimeout")
    assert _ends(ran) == [_STARTED, over, over]
    assert "results" not in ran.task("t")
    assert ran.skipped == {"last": "Results were missing"}


_SIZES = {
    "3950 letters": ("head -c 3950 /dev/zero | tr '\\0' x", True),
    "4050 letters": ("head -c 4050 /dev/zero | tr '\\0' x", False),
    "2100 quotes": ("head -c 2100 /dev/zero | tr '\\0' '\"'", False),
    "700 bytes of no text": ("head -c 700 /dev/zero | tr '\\0' '\\377'", False),
    "660 bytes of no text": ("head -c 660 /dev/zero | tr '\\0' '\\377'", True),
    "660 less-than": ("head -c 660 /dev/zero | tr '\\0' '<'", True),
    "700 less-than": ("head -c 700 /dev/zero | tr '\\0' '<'", False),
}


@pytest.mark.parametrize(("write", "fits"), _SIZES.values(), ids=_SIZES)
def test_the_json_of_the_termination_message_is_what_the_limit_counts(
    tmp_path: Path, write: str, fits: bool
) -> None:
    text = f"""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {{name: told}}
spec:
  taskSpec:
    results: [{{name: r}}]
    steps:
    - name: s
      image: bash
      script: |
        {write} > $(results.r.path)
    - {{name: after, image: bash, script: rm $(results.r.path)}}
"""
    ran = run_text(text, tmp_path / "home")
    assert ran.condition["reason"] == ("Succeeded" if fits else "StepFailed")
    assert ("results" in ran.status) is fits, "what was told once stays told"
    codes = [step["terminated"]["exitCode"] for step in ran.status["steps"]]
    assert codes == [int(not fits), 0], "the next step runs all the same"


def test_a_matrix_has_results_for_the_pipeline_only_where_another_task_asks_for_them(
    tmp_path: Path,
) -> None:
    text = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: told}
spec:
  pipelineSpec:
    results: [{name: all, type: array, value: "$(tasks.m.results.o[*])"}]
    tasks:
    - name: m
      matrix: {params: [{name: v, value: [x, "y"]}]}
      taskSpec:
        params: [{name: v}]
        results: [{name: o}]
        steps: [{name: s, image: bash, script: "printf $(params.v) > $(results.o.path)"}]
    ASKS
"""
    alone = run_text(text.replace("ASKS", ""), tmp_path / "alone")
    assert alone.condition["reason"] == "CouldntGetPipelineResult"
    asks = """- name: use
      params: [{name: all, value: "$(tasks.m.results.o[*])"}]
      taskSpec:
        params: [{name: all, type: array}]
        steps: [{name: s, image: bash, args: ["$(params.all[*])"], script: echo "$@"}]
"""
    assert run_text(text.replace("ASKS", asks), tmp_path / "asked").results == {"all": ["x", "y"]}


def test_a_step_finds_the_name_of_its_pod_in_hostname(tmp_path: Path) -> None:
    step = '{name: s, image: bash, script: "printf $HOSTNAME"}'
    ran = _run(tmp_path / "home", step)
    assert ran.log("t", "s") == "told-t-pod"
