"""What breaks while a run is executed ends that run, or waits and costs no step."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from event_samples import SECRET, push, signed
from starlette.testclient import TestClient

from touchstone.engine import Engine
from touchstone.engine.run import attempt
from touchstone.errors import UsageError
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.platform.embedded import DEFINITIONS
from touchstone.runs import record
from touchstone.runs.store import State


def manifest(*scripts, last="true"):
    tasks = [
        {"name": f"t{number}", "taskSpec": {"steps": [{"name": "s", "script": script}]}}
        for number, script in enumerate(scripts)
    ]
    final = {"name": "last", "taskSpec": {"steps": [{"name": "s", "script": last}]}}
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": "r"},
        "spec": {"pipelineSpec": {"tasks": tasks, "finally": [final]}},
    }


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "home", patience=0.2)


@pytest.fixture
def engine(state, tmp_path):
    return Engine(state, tmp_path / "home", definitions=[])


def _locked(state):
    """The state as another process has it that writes and does not end."""
    holder = sqlite3.connect(state.path, isolation_level=None, timeout=30)
    holder.execute("BEGIN EXCLUSIVE")
    return closing(holder)


def test_a_state_locked_beyond_the_timeout_is_written_later_and_no_step_runs_twice(
    state, engine, tmp_path
):
    marks, go = tmp_path / "marks", tmp_path / "go"
    state.add_run(manifest(f"echo one >> {marks}; until [ -e {go} ]; do sleep 0.05; done"))
    running = threading.Thread(target=engine.execute, args=("r",))
    running.start()
    while not marks.exists():
        time.sleep(0.05)
    with _locked(state):
        go.touch()
        time.sleep(2)
        assert running.is_alive()
    running.join(30)
    assert record.succeeded(state.run("r").status)
    assert marks.read_text() == "one\n"


def test_an_engine_that_waits_for_the_state_can_be_stopped_and_the_run_goes_on_later(
    state, engine, tmp_path
):
    marks = tmp_path / "marks"
    state.add_run(manifest(f"echo one >> {marks}; sleep 0.5"))
    running = threading.Thread(target=engine.execute, args=("r",))
    running.start()
    while not marks.exists():
        time.sleep(0.05)
    with _locked(state):
        time.sleep(1)
        engine.stop()
        running.join(10)
        assert not running.is_alive()
    assert not state.run("r").done
    status = Engine(state, tmp_path / "home", definitions=[]).execute("r")
    assert record.succeeded(status)


def test_a_listener_over_a_locked_state_asks_to_send_again_and_tells_nobody_why(state):
    listener = Listener(
        state, triggers=load_triggers([DEFINITIONS / "triggers"]), secrets=lambda *_: SECRET
    )
    client = TestClient(create_app(listener))
    headers, body = signed(push())
    with _locked(state):
        answer = client.post("/", headers=headers, content=body)
        assert answer.status_code == 503
        assert "locked" not in answer.text and "sqlite" not in answer.text
    assert client.post("/", headers=headers, content=body).json()["status"] == "stored"
    with _locked(state), pytest.raises(sqlite3.OperationalError):
        listener.process_pending()
    assert len(listener.process_pending()) == 1, "the event stayed stored"


def test_what_breaks_a_task_run_ends_it_and_finally_still_runs(
    state, engine, tmp_path, monkeypatch, caplog
):
    read = attempt.raw_results

    def broken(specs, folder, **options):
        if "t0" in str(folder):
            raise ZeroDivisionError("nobody thought of this")
        return read(specs, folder, **options)

    monkeypatch.setattr(attempt, "raw_results", broken)
    state.add_run(manifest("true", last=f"touch {tmp_path}/last"))
    status = engine.execute("r")
    assert not record.succeeded(status)
    condition = record.succeeded_condition(state.taskruns("r")["r-t0"])
    assert condition["reason"] == "InternalError"
    assert condition["message"] == "ZeroDivisionError: nobody thought of this"
    assert (tmp_path / "last").exists()
    assert "Traceback" in caplog.text


def test_what_breaks_a_run_ends_it_and_all_that_had_not_ended(state, engine, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("touchstone.engine.run.pipeline_run.PipelineExecution._take", broken)
    state.add_run(manifest("true", "sleep 60"))
    status = engine.execute("r")
    condition = record.succeeded_condition(status)
    assert (condition["status"], condition["reason"]) == ("False", "InternalError")
    assert state.run("r").done
    assert all(record.finished(child) for child in state.taskruns("r").values())
    assert engine.execute("r") == state.run("r").status, "and it is not taken up again"


def test_a_run_that_lacks_something_for_a_while_says_so_and_goes_on(
    state, engine, tmp_path, monkeypatch
):
    (tmp_path / "home" / "workspaces").mkdir()
    lacking = [True]
    start = attempt.Pod.make_folders

    def make(pod):
        if lacking:
            raise OSError(28, "No space left on device", "/x")
        start(pod)

    monkeypatch.setattr(attempt.Pod, "make_folders", make)
    state.add_run(manifest("true"))
    with pytest.raises(OSError, match="No space"):
        engine.execute("r")
    condition = record.succeeded_condition(state.run("r").status)
    assert (condition["status"], condition["reason"]) == ("Unknown", "Running")
    assert "No space left on device: /x" in condition["message"]
    lacking.clear()
    assert record.succeeded(engine.execute("r"))


def test_a_run_that_is_given_up_ends_with_the_reason(state, engine):
    state.add_run(manifest("true"))
    engine.give_up("r", "it could not go on 12 times: No space left on device")
    condition = record.succeeded_condition(state.run("r").status)
    assert condition["reason"] == "InternalError"
    assert "12 times" in condition["message"]


def test_who_watches_a_run_and_goes_away_ends_nothing(state, tmp_path):
    def gone(notice):
        raise BrokenPipeError(32, "Broken pipe")

    state.add_run(manifest("true"))
    engine = Engine(state, tmp_path / "home", definitions=[], observer=gone)
    assert record.succeeded(engine.execute("r"))


def test_a_launcher_without_room_for_a_process_goes_on_with_the_next(monkeypatch):
    from touchstone.engine.pod.process import Call, Guard

    call = Call(argv=("true",), environment={"PATH": os.environ["PATH"]}, folder="/")
    guard = Guard()
    try:
        with Path(os.devnull).open("r+b") as nothing:
            descriptors = [nothing.fileno()] * 3
            # Fewer descriptors than asked for is what arrives where the launcher has no room.
            answer = guard._own.ask({"start": {}}, descriptors)
            assert answer == {"errno": 24}
            running = guard.start(call, descriptors)
            running.wait(None, None)
            assert running.end() == 0
    finally:
        guard.close()


FIXED = """
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: l}
spec:
  triggers:
    - name: t
      bindings: [{name: name, value: $(body.name)}]
      template:
        spec:
          params: [{name: name}]
          resourcetemplates:
            - apiVersion: tekton.dev/v1
              kind: PipelineRun
              metadata: {name: $(tt.params.name)}
              spec: {pipelineRef: {name: p}}
"""


@pytest.mark.parametrize("name", ["../../etc", "UPPER", "a/b", "", "x" * 64, "a\\n"])
def test_an_event_that_names_its_run_as_nothing_may_be_called_starts_none(state, tmp_path, name):
    (tmp_path / "l.yaml").write_text(FIXED)
    listener = Listener(
        state, triggers=load_triggers([tmp_path / "l.yaml"]), secrets=lambda *_: SECRET
    )
    body = f'{{"name": "{name}"}}'.encode()
    state.add_event(source="s", event_id="1", headers={}, body=body)
    assert listener.process_pending() == []
    assert "expected lower case letters" in state.events()[0].outcome


def test_a_second_run_of_a_taken_name_fails_its_event_and_the_next_is_processed(state, tmp_path):
    (tmp_path / "l.yaml").write_text(FIXED)
    listener = Listener(
        state, triggers=load_triggers([tmp_path / "l.yaml"]), secrets=lambda *_: SECRET
    )
    for number, name in enumerate(("a", "a", "b")):
        body = f'{{"name": "{name}"}}'.encode()
        state.add_event(source="s", event_id=str(number), headers={}, body=body)
    assert listener.process_pending() == ["a", "b"]
    assert listener.process_pending() == []
    assert "exists already, one of a, expected" in state.events()[1].outcome


def test_an_unknown_run_is_no_fault_of_the_machine(engine):
    with pytest.raises(UsageError):
        engine.execute("nobody")
