"""Events into runs: each push once, with the same name however often it is processed."""

from __future__ import annotations

import json

import pytest
from event_samples import SECRET, push, signed

from touchstone.errors import ManifestError
from touchstone.events.listener import Listener
from touchstone.runs import otlp
from touchstone.runs.store import State


def store(state, document, event_id="1"):
    headers, body = signed(document)
    state.add_event(source="github", event_id=event_id, headers=headers, body=body)


def test_a_push_becomes_one_run_of_the_pipeline_with_what_the_event_says(state, listener):
    store(state, push())
    (name,) = listener.process_pending()
    run = state.run(name).manifest
    event = run["metadata"]["annotations"]["touchstone.dev/event"]
    assert run["metadata"]["name"].startswith("object-detector-")
    assert "generateName" not in run["metadata"]
    assert run["spec"]["pipelineRef"] == {"name": "model"}
    assert {param["name"]: param["value"] for param in run["spec"]["params"]} == {
        "repo-url": "file:///srv/model.git",
        "revision": "0123456789abcdef0123456789abcdef01234567",
        "image": "localhost/models/object-detector:0123456",
        "gitops-url": "file:///srv/gitops.git",
        "data": "",
        "forge": "github",
        "repository": "vision/Object-Detector",
        "branch": "main",
        "traceparent": otlp.of_event(event),
    }
    told = json.loads(run["metadata"]["annotations"]["tekton.dev/pipelinerunSpanContext"])
    assert told == {"traceparent": otlp.of_event(event)}
    assert run["metadata"]["labels"]["triggers.tekton.dev/trigger"] == "push"
    assert "push" in listener.triggers.triggers[0].name


def test_a_processed_event_starts_nothing_again(state, listener):
    store(state, push())
    assert len(listener.process_pending()) == 1
    assert listener.process_pending() == []
    assert len(state.runs()) == 1


def test_an_event_processed_again_after_a_kill_gives_the_same_run(state, listener):
    store(state, push())
    (event,) = state.pending_events()
    before_the_kill = listener.process(event)
    again = Listener(
        State(state.path.parent),
        triggers=listener.triggers,
        secrets=listener.secrets,
        overrides=listener.overrides,
    )
    assert again.process_pending() == [run["metadata"]["name"] for run in before_the_kill.runs]


def test_different_events_give_different_names(state, listener):
    store(state, push(), "1")
    store(state, push(after="f" * 40), "2")
    assert len(set(listener.process_pending())) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/heads/other"}, "only the default branch, main, starts a run"),
        ({"deleted": True}, "was deleted"),
        ({"repository": {"name": "x"}}, "without repository.full_name"),
        ({"repository": None}, "without repository.full_name"),
        ({"after": 7}, "got a delivery without after"),
    ],
)
def test_an_event_that_is_not_for_the_trigger_starts_nothing_and_says_why(
    state, listener, changes, reason
):
    store(state, push(**changes))
    (event,) = state.pending_events()
    assert reason in listener.process(event).outcome
    assert listener.process_pending() == []
    assert state.pending_events() == []


def test_a_stored_event_with_a_wrong_signature_starts_nothing(state, listener):
    headers, body = signed(push())
    state.add_event(source="github", event_id="1", headers=headers, body=body + b" ")
    (event,) = state.pending_events()
    assert "signature check failed" in listener.process(event).outcome
    assert listener.process_pending() == []


def test_an_event_that_breaks_the_listener_does_not_stop_the_next(state, listener):
    state.add_event(source="github", event_id="0", headers={}, body=b"not json")
    store(state, push())
    assert len(listener.process_pending()) == 1
    assert state.pending_events() == []


def test_a_value_that_looks_like_a_variable_stays_text(state, listener):
    repository = {
        "name": "a",
        "full_name": "$(tt.params.gitops-url)$(uid)",
        "clone_url": "u",
        "default_branch": "main",
    }
    store(state, push(repository=repository))
    (name,) = listener.process_pending()
    annotations = state.run(name).manifest["metadata"]["annotations"]
    assert annotations["touchstone.dev/repository"] == "$$(tt.params.gitops-url)$$(uid)"


def test_an_override_of_an_unknown_param_is_refused(state, triggers):
    with pytest.raises(ManifestError, match="gitops-ulr"):
        Listener(
            state,
            triggers=triggers,
            secrets=lambda name, key: SECRET,
            overrides={"gitops-ulr": "x"},
        )
