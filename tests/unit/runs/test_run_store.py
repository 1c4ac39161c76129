"""The platform's memory loses nothing and does nothing twice."""

import pytest

from touchstone.runs.store import State


@pytest.fixture
def state(tmp_path):
    return State(tmp_path)


def manifest(name):
    return {"kind": "PipelineRun", "metadata": {"name": name}}


def add(state, event_id="1"):
    return state.add_event(source="github", event_id=event_id, headers={"a": "b"}, body=b"{}")


def test_a_delivery_seen_before_is_not_stored_again(state):
    assert add(state) is not None
    assert add(state) is None
    assert len(state.pending_events()) == 1


def test_an_event_starts_its_run_once(state):
    event = add(state)
    state.finish_event(event, outcome="started r1", runs=[manifest("r1")])
    state.finish_event(event, outcome="started r2", runs=[manifest("r2")])
    assert [run.name for run in state.runs()] == ["r1"]
    assert state.pending_events() == []


def test_an_event_whose_run_cannot_be_created_stays_pending(state):
    state.add_run(manifest("r1"))
    event = add(state)
    with pytest.raises(Exception, match="UNIQUE"):
        state.finish_event(event, outcome="", runs=[manifest("r0"), manifest("r1")])
    assert [run.name for run in state.runs()] == ["r1"]
    assert [pending.id for pending in state.pending_events()] == [event]


def test_status_documents_survive_a_restart(state, tmp_path):
    state.add_run(manifest("r1"))
    state.save_taskrun("r1", "r1-a", {"conditions": []})
    state.save_taskrun("r1", "r1-a", {"conditions": [1]})
    state.save_run("r1", {"results": []}, done=True)
    again = State(tmp_path)
    assert again.taskruns("r1") == {"r1-a": {"conditions": [1]}}
    run = again.run("r1")
    assert run.done
    assert run.status == {"results": []}
    assert again.runs(done=False) == []
    assert again.run("nobody") is None
