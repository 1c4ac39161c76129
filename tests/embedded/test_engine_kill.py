"""kill -9 of the engine in the middle of a run: what finished stays, what had not runs again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.endurance import killing
from touchstone.engine import Engine
from touchstone.runs.store import State

_PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: long}}
spec:
  tasks:
    - name: early
      taskSpec:
        results: [{{name: said, description: what it said}}]
        steps: [{{name: s, script: "echo ran >> {marks}/early; printf yes > $(results.said.path)"}}]
    - name: late
      runAfter: [early]
      retries: 2
      taskSpec:
        steps:
          - name: s
            script: |
              echo ran-$(context.task.retry-count) >> {marks}/late
              [ -e {marks}/go ] || (setsid sleep 300 & echo $! >> {marks}/pids; sleep 300)
  results: [{{name: said, value: $(tasks.early.results.said)}}]
"""

_RUN = {
    "apiVersion": "tekton.dev/v1",
    "kind": "PipelineRun",
    "metadata": {"name": "long"},
    "spec": {"pipelineRef": {"name": "long"}},
}

_ENGINE = """
import sys
from pathlib import Path
from touchstone.engine import Engine
from touchstone.runs.store import State
home = Path(sys.argv[1])
Engine(State(home), home, definitions=[home / "pipeline.yaml"]).execute("long")
"""


def _wait_for(path: Path) -> None:
    limit = time.monotonic() + 15
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < limit, f"{path} did not appear"
        time.sleep(0.02)


def _prepare(tmp_path: Path, pipeline: str = _PIPELINE) -> tuple[Path, State]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "pipeline.yaml").write_text(pipeline.format(marks=tmp_path))
    state = State(home)
    state.add_run(_RUN)
    return home, state


def _kill_once_it_waits(tmp_path: Path, home: Path) -> None:
    """Start an engine, and kill it when the step that waits has begun."""
    killed = subprocess.Popen([sys.executable, "-c", _ENGINE, str(home)])
    _wait_for(tmp_path / "pids")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()


def _processes_of(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"TOUCHSTONE_HOME={home}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_a_killed_run_goes_on_from_its_last_finished_task_and_leaves_no_orphan(
    tmp_path: Path,
) -> None:
    home, state = _prepare(tmp_path)
    _kill_once_it_waits(tmp_path, home)
    run = state.run("long")
    assert run and not run.done
    (tmp_path / "go").touch()
    status = Engine(state, home, definitions=[home / "pipeline.yaml"]).execute("long")
    assert status["conditions"][0]["reason"] == "Succeeded"
    assert status["results"] == [{"name": "said", "value": "yes"}]
    assert (tmp_path / "early").read_text() == "ran\n"
    assert (tmp_path / "late").read_text() == "ran-0\nran-0\n"
    assert "retriesStatus" not in state.taskruns("long")["long-late"]
    assert _processes_of(home) == []


def test_steps_die_with_a_killed_engine_though_nobody_resumes_it(tmp_path: Path) -> None:
    home, _ = _prepare(tmp_path)
    _kill_once_it_waits(tmp_path, home)
    limit = time.monotonic() + 5
    while any("late" in line or "scripts" in line for line in _processes_of(home)):
        assert time.monotonic() < limit, _processes_of(home)
        time.sleep(0.02)
    for line in (tmp_path / "pids").read_text().split():
        try:
            os.kill(int(line), signal.SIGKILL)  # the one that left its session; a resume sweeps it
        except ProcessLookupError:
            continue


def test_stop_leaves_the_unfinished_task_to_be_run_again(tmp_path: Path) -> None:
    home, state = _prepare(tmp_path)
    engine = Engine(state, home, definitions=[home / "pipeline.yaml"])
    thread = threading.Thread(target=engine.execute, args=("long",))
    thread.start()
    _wait_for(tmp_path / "late")
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
    run = state.run("long")
    assert run and not run.done
    (tmp_path / "go").touch()
    again = Engine(state, home, definitions=[home / "pipeline.yaml"])
    assert again.execute("long")["conditions"][0]["status"] == "True"
    assert (tmp_path / "late").read_text() == "ran-0\nran-0\n"


_NESTED = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: long}}
spec:
  tasks:
    - name: fan
      matrix: {{params: [{{name: x, value: ["1", "2"]}}]}}
      taskSpec:
        params: [{{name: x}}]
        results: [{{name: said}}]
        steps:
          - name: s
            script: echo $(params.x) >> {marks}/early; printf $(params.x) > $(results.said.path)
    - name: inside
      params: [{{name: all, value: "$(tasks.fan.results.said[*])"}}]
      pipelineSpec:
        params: [{{name: all, type: array}}]
        tasks:
          - name: first
            taskSpec: {{steps: [{{name: s, script: "echo first >> {marks}/early"}}]}}
          - name: second
            runAfter: [first]
            params: [{{name: all, value: ["$(params.all[*])"]}}]
            taskSpec:
              params: [{{name: all, type: array}}]
              steps:
                - name: s
                  args: ["$(params.all[*])"]
                  script: |
                    echo $$ >> {marks}/pids
                    [ -e {marks}/go ] || sleep 300
                    echo "$@" >> {marks}/late
"""


def test_a_killed_run_goes_on_inside_a_matrix_and_an_inner_pipeline(tmp_path: Path) -> None:
    home, state = _prepare(tmp_path, _NESTED)
    _kill_once_it_waits(tmp_path, home)
    (tmp_path / "go").touch()
    status = Engine(state, home, definitions=[home / "pipeline.yaml"]).execute("long")
    assert status["conditions"][0]["reason"] == "Succeeded"
    assert sorted((tmp_path / "early").read_text().split()) == ["1", "2", "first"]
    assert (tmp_path / "late").read_text() == "1 2\n"
    assert _processes_of(home) == []


def test_stop_reaches_an_inner_pipeline_and_leaves_it_to_be_run_again(tmp_path: Path) -> None:
    home, state = _prepare(tmp_path, _NESTED)
    engine = Engine(state, home, definitions=[home / "pipeline.yaml"])
    thread = threading.Thread(target=engine.execute, args=("long",))
    thread.start()
    _wait_for(tmp_path / "pids")
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()
    run = state.run("long")
    assert run and not run.done
    assert "completionTime" not in state.taskruns("long")["long-inside"]
    (tmp_path / "go").touch()
    status = Engine(state, home, definitions=[home / "pipeline.yaml"]).execute("long")
    assert status["conditions"][0]["reason"] == "Succeeded"
    assert (tmp_path / "late").read_text() == "1 2\n"


_ENDING = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: long}}
spec:
  tasks:
    - name: early
      taskSpec:
        results: [{{name: said, description: what it said}}]
        steps: [{{name: s, script: "printf yes > $(results.said.path)"}}]
    - name: never
      when: [{{input: $(tasks.early.results.said), operator: in, values: ["no"]}}]
      taskSpec: {{steps: [{{name: s, script: exit 1}}]}}
    - name: fails
      runAfter: [early]
      taskSpec: {{steps: [{{name: s, script: exit 1}}]}}
  finally:
    - name: report
      params: [{{name: status, value: $(tasks.status)}}]
      taskSpec:
        params: [{{name: status}}]
        results: [{{name: saw, description: how the tasks ended}}]
        steps:
          - name: s
            script: |
              echo $$ >> {marks}/pids
              [ -e {marks}/go ] || sleep 300
              printf $(params.status) > $(results.saw.path)
  results: [{{name: saw, value: $(finally.report.results.saw)}}]
"""


def test_a_run_killed_in_finally_keeps_its_skips_and_how_its_tasks_ended(tmp_path: Path) -> None:
    home, state = _prepare(tmp_path, _ENDING)
    _kill_once_it_waits(tmp_path, home)
    (tmp_path / "go").touch()
    status = Engine(state, home, definitions=[home / "pipeline.yaml"]).execute("long")
    (skipped,) = status["skippedTasks"]
    assert skipped["reason"] == "When Expressions evaluated to false"
    assert skipped["whenExpressions"][0]["input"] == "yes"
    assert status["results"] == [{"name": "saw", "value": "Failed"}]


def test_a_run_killed_at_three_moments_ends_as_an_undisturbed_one() -> None:
    undisturbed = killing.run("bad", [])
    chance = random.Random(time.time_ns())  # `make kill` looks at many more
    third = undisturbed.seconds / 3
    moments = [(chance.uniform(0.1, third), everything) for everything in (True, False, True)]
    disturbed = killing.run("bad", moments)
    assert killing.difference(disturbed, undisturbed) == [], moments
    assert disturbed.kills
