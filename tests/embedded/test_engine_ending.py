"""How runs end before their time: spec.status, time limits, wrong values; in Tekton's words."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engine_runs import Ran, run_text

from touchstone.documents.yaml import load_text
from touchstone.engine import Engine
from touchstone.runs.store import State

_RUN = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: end}
spec:
  pipelineSpec:
    tasks:
    - name: slow
      taskSpec:
        steps: [{name: s, script: "touch MARK; sleep 1.2; [ ! -e MARK.long ] || sleep 60"}]
    - name: next
      runAfter: [slow]
      taskSpec: {steps: [{name: s, script: exit 0}]}
    finally:
    - name: last
      params: [{name: ended, value: "$(tasks.slow.status) $(tasks.slow.reason)"}]
      taskSpec: {steps: [{name: s, script: "echo $(params.ended)"}]}
"""


def _told(value: str, home: Path, *, long: bool) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """The end of a run that is told `value` once its first task runs."""
    home.mkdir(exist_ok=True)
    mark = home / "mark"
    if long:
        (home / "mark.long").touch()
    state = State(home)
    state.add_run(load_text(_RUN.replace("MARK", str(mark)), "run")[0].body)
    engine = Engine(state, home, definitions=[])
    thread = threading.Thread(target=engine.execute, args=("end",))
    thread.start()
    limit = time.monotonic() + 10
    while not mark.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert State(home).set_spec_status("end", value)
    thread.join(15)
    assert not thread.is_alive()
    run = state.run("end")
    assert run and run.done
    return dict(run.status), state.taskruns("end"), home / "logs/end/end-last/s.log"


def _skipped(status: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["reason"] for item in status.get("skippedTasks", [])}


def test_cancelled_ends_the_running_task_and_starts_nothing_more(tmp_path: Path) -> None:
    status, taskruns, log = _told("Cancelled", tmp_path, long=True)
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "Cancelled")
    assert condition["message"] == 'PipelineRun "end" was cancelled'
    slow = taskruns["end-slow"]["conditions"][0]
    assert slow["reason"] == "TaskRunCancelled"
    assert slow["message"] == (
        'TaskRun "end-slow" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has'
        " been cancelled."
    )
    assert not log.exists()


def test_a_task_run_of_its_own_is_cancelled_too(tmp_path: Path) -> None:
    spec = {"steps": [{"name": "s", "script": f"touch {tmp_path}/mark; sleep 60"}]}
    state = State(tmp_path)
    state.add_run(
        {
            "apiVersion": "tekton.dev/v1",
            "kind": "TaskRun",
            "metadata": {"name": "alone"},
            "spec": {"taskSpec": spec},
        }
    )
    engine = Engine(state, tmp_path, definitions=[])
    thread = threading.Thread(target=engine.execute, args=("alone",))
    thread.start()
    while not (tmp_path / "mark").exists():
        time.sleep(0.02)
    assert state.set_spec_status("alone", "TaskRunCancelled")
    thread.join(15)
    run = state.run("alone")
    assert run and run.done
    assert run.status["conditions"][0]["reason"] == "TaskRunCancelled"


def test_cancelled_run_finally_cancels_the_tasks_but_runs_finally(tmp_path: Path) -> None:
    status, _, log = _told("CancelledRunFinally", tmp_path, long=True)
    assert status["conditions"][0]["reason"] == "Cancelled"
    assert status["conditions"][0]["message"] == 'PipelineRun "end" was cancelled'
    assert _skipped(status) == {"next": "PipelineRun was stopping"}
    assert log.read_text() == "Failed TaskRunCancelled\n"


def test_stopped_run_finally_lets_the_running_task_end_and_runs_finally(tmp_path: Path) -> None:
    status, _, log = _told("StoppedRunFinally", tmp_path, long=False)
    assert status["conditions"][0]["reason"] == "Cancelled"
    assert _skipped(status) == {"next": "PipelineRun was gracefully stopped"}
    assert log.read_text() == "Succeeded Succeeded\n"


def test_a_pending_run_waits_until_its_status_is_taken_away(tmp_path: Path) -> None:
    state = State(tmp_path)
    body = load_text(_RUN.replace("MARK", str(tmp_path / "mark")), "run")[0].body
    state.add_run({**body, "spec": {**body["spec"], "status": "PipelineRunPending"}})
    engine = Engine(state, tmp_path, definitions=[])
    condition = engine.execute("end")["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("Unknown", "PipelineRunPending")
    assert condition["message"] == 'PipelineRun "end" is pending'
    assert not (tmp_path / "mark").exists()
    assert state.set_spec_status("end", "")
    assert engine.execute("end")["conditions"][0]["reason"] == "Succeeded"
    assert not state.set_spec_status("end", "Cancelled")
    assert not state.set_spec_status("nobody", "Cancelled")


def test_a_pending_task_run_waits_too(tmp_path: Path) -> None:
    state = State(tmp_path)
    text = """
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: t}
spec: {status: TaskRunPending, taskSpec: {steps: [{name: s, script: exit 0}]}}
"""
    state.add_run(load_text(text, "run")[0].body)
    engine = Engine(state, tmp_path, definitions=[])
    condition = engine.execute("t")["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("Unknown", "TaskRunPending")
    assert condition["message"] == 'TaskRun "t" is pending'
    assert state.set_spec_status("t", "")
    assert engine.execute("t")["conditions"][0]["reason"] == "Succeeded"


@pytest.mark.parametrize(
    ("timeouts", "reason", "message", "last"),
    [
        ("pipeline: 500ms", "PipelineRunTimeout", 'failed to finish within "500ms"', False),
        (
            "tasks: 500ms",
            "PipelineRunTimeout",
            'failed due to tasks failed to finish within "500ms"',
            True,
        ),
    ],
)
def test_time_limits_end_the_run(
    timeouts: str, reason: str, message: str, last: bool, tmp_path: Path
) -> None:
    text = _RUN.replace("MARK", str(tmp_path / "mark"))
    ran = run_text(f"{text}  timeouts: {{{timeouts}}}\n", tmp_path)
    assert ran.condition["reason"] == reason
    assert message in ran.condition["message"]
    assert ran.task("slow")["conditions"][0]["reason"] == "TaskRunCancelled"
    assert ("end-last" in ran.taskruns) is last


_ONE = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: one}
spec:
  pipelineSpec:
    tasks:
"""


def _one(tasks: str, home: Path) -> Ran:
    return run_text(_ONE + tasks, home)


def test_a_result_that_a_task_did_not_leave_fails_validation_of_its_user(tmp_path: Path) -> None:
    ran = _one(
        """
    - name: a
      taskSpec: {results: [{name: r}], steps: [{name: s, script: exit 0}]}
    - name: b
      params: [{name: p, value: $(tasks.a.results.r)}]
      taskSpec: {params: [{name: p}], steps: [{name: s, script: exit 0}]}
""",
        tmp_path,
    )
    assert ran.condition["reason"] == "PipelineValidationFailed"
    assert ran.condition["message"] == (
        "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0, Failed Validation: 1"
        ' (task "a" completed successfully but did not emit the result "r", which is referenced'
        ' by task "b")'
    )


def test_cel_decides_skips_cascade_and_an_ignored_failure_says_so(tmp_path: Path) -> None:
    ran = _one(
        """
    - name: a
      taskSpec:
        results: [{name: r}]
        steps: [{name: s, script: "printf 7 > $(results.r.path)"}]
    - name: yes
      when: [{cel: "int('$(tasks.a.results.r)') > 6 && 'x' in ['x', 'y']"}]
      onError: continue
      taskSpec: {steps: [{name: s, script: exit 1}]}
    - name: no
      when: [{cel: "'$(tasks.a.results.r)' == '8'"}]
      taskSpec: {results: [{name: r}], steps: [{name: s, script: exit 0}]}
    - name: ordered
      runAfter: [no]
      taskSpec: {steps: [{name: s, script: exit 0}]}
    - name: lacking
      params: [{name: p, value: $(tasks.no.results.r)}]
      taskSpec: {params: [{name: p}], steps: [{name: s, script: exit 0}]}
    - name: below
      runAfter: [lacking]
      taskSpec: {steps: [{name: s, script: exit 0}]}
    finally:
    - name: last
      params: [{name: ended, value: "$(tasks.yes.reason) $(tasks.no.status)"}]
      taskSpec: {steps: [{name: s, script: "echo $(params.ended)"}]}
""",
        tmp_path,
    )
    assert ran.condition["message"] == (
        "Tasks Completed: 4 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 3"
    )
    assert ran.condition["reason"] == "Completed"
    assert ran.skipped == {
        "no": "When Expressions evaluated to false",
        "lacking": "Results were missing",
        "below": "Parent Tasks were skipped",
    }
    assert ran.log("last", "s") == "FailureIgnored None\n"


def test_cel_that_is_no_truth_value_fails_the_run(tmp_path: Path) -> None:
    ran = _one(
        "    - {name: a, when: [{cel: '1 + 1'}], taskSpec: {steps: [{name: s, script: exit 0}]}}\n",
        tmp_path,
    )
    assert ran.condition["reason"] == "CELEvaluationFailed"
    assert ran.condition["message"] == (
        "[User error] Error evaluating CEL one: The CEL expression 1 + 1 is not evaluated to a"
        " boolean"
    )


def test_workspace_bindings_hold_params_and_task_run_specs_name_tasks(tmp_path: Path) -> None:
    rest = """
    - name: a
      taskSpec:
        workspaces: [{name: w}]
        steps: [{name: s, script: "printf yes > $(workspaces.w.path)/made"}]
    params: [{name: of, default: x}]
    workspaces: [{name: w}]
  params: [{name: of, value: mine}]
  workspaces: [{name: w, subPath: in-$(params.of), persistentVolumeClaim: {claimName: claim}}]
"""
    ran = _one(rest, tmp_path / "right")
    assert ran.condition["reason"] == "Succeeded"
    assert (tmp_path / "right/volumes/claim/in-mine/made").read_text() == "yes"
    ran = _one(f"{rest}  taskRunSpecs: [{{pipelineTaskName: b}}]\n", tmp_path / "wrong")
    assert ran.condition["reason"] == "InvalidTaskRunSpecs"
    assert 'taskrunSpecs defined wrong taskName: "b"' in ran.condition["message"]


def test_a_value_outside_a_task_s_enum_fails_the_run_when_it_is_known(tmp_path: Path) -> None:
    ran = _one(
        """
    - name: a
      taskSpec: {results: [{name: r}], steps: [{name: s, script: "printf z > $(results.r.path)"}]}
    - name: b
      params: [{name: p, value: $(tasks.a.results.r)}]
      taskSpec: {params: [{name: p, enum: [x, y]}], steps: [{name: s, script: exit 0}]}
""",
        tmp_path,
    )
    assert ran.condition["reason"] == "InvalidParamValue"
    assert ran.condition["message"] == (
        '[User error] Invalid param value from PipelineTask "b": param `p` value: z is not in the'
        " enum list"
    )
    assert list(ran.taskruns) == ["one-a"]


_INNER = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: inner}
spec:
  params: [{name: word}]
  workspaces: [{name: place}]
  tasks:
    - name: write
      params: [{name: word, value: $(params.word)}]
      workspaces: [{name: place}]
      taskSpec:
        params: [{name: word}]
        workspaces: [{name: place}]
        steps: [{name: s, script: "echo $(params.word) > $(workspaces.place.path)/said"}]
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: outer}
spec:
  workspaces: [{name: shared, volumeClaimTemplate: {spec: {}}}]
  pipelineSpec:
    workspaces: [{name: shared}]
    tasks:
    - name: inside
      pipelineRef: {name: inner}
      params: [{name: word, value: hello}]
      workspaces: [{name: place, workspace: shared}]
    - name: read
      runAfter: [inside]
      taskSpec: {steps: [{name: s, script: cat $(workspaces.shared.path)/said}]}
"""


def test_a_pipeline_inside_a_pipeline_is_a_child_run_of_its_own(tmp_path: Path) -> None:
    ran = run_text(_INNER, tmp_path, parallel=1)
    assert ran.condition["reason"] == "Succeeded"
    assert ran.log("read", "s") == "hello\n"
    child = ran.status["childReferences"][0]
    assert (child["kind"], child["name"]) == ("PipelineRun", "outer-inside")
    inner = ran.taskruns["outer-inside"]
    assert inner["conditions"][0]["reason"] == "Succeeded"
    assert inner["childReferences"][0]["name"] == "outer-inside-write"
    assert "outer-inside-write" in ran.taskruns


def test_a_child_that_fails_fails_its_parent_and_a_pipeline_in_itself_is_refused(
    tmp_path: Path,
) -> None:
    ran = run_text(_INNER.replace('"echo', '"exit 3; echo'), tmp_path / "fails")
    assert ran.condition["reason"] == "Failed"
    assert ran.skipped == {"read": "PipelineRun was stopping"}
    ran = run_text(
        _INNER.replace(
            "- name: write", "- {name: again, pipelineRef: {name: inner}}\n    - name: write"
        ),
        tmp_path / "cycle",
    )
    assert ran.condition["reason"] == "PipelineValidationFailed"
    assert "detected cycle in pipeline-in-pipeline" in ran.condition["message"]


def test_cancelling_the_parent_cancels_its_child_run_and_the_tasks_in_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = _INNER.replace('"echo', f'"touch {mark}; sleep 60; echo')
    (tmp_path / "definitions.yaml").write_text(text)
    state = State(tmp_path)
    state.add_run(load_text(text, "run")[1].body)
    engine = Engine(state, tmp_path, definitions=[tmp_path / "definitions.yaml"])
    thread = threading.Thread(target=engine.execute, args=("outer",))
    thread.start()
    limit = time.monotonic() + 10
    while not mark.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert state.set_spec_status("outer", "Cancelled")
    thread.join(15)
    run = state.run("outer")
    assert run and run.done
    assert run.status["conditions"][0]["reason"] == "Cancelled"
    taskruns = state.taskruns("outer")
    assert taskruns["outer-inside"]["conditions"][0]["reason"] == "Cancelled"
    assert taskruns["outer-inside-write"]["conditions"][0]["reason"] == "TaskRunCancelled"
