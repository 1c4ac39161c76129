"""The engine's CloudEvents are Tekton's: types, attributes, data, and none that tells nothing."""

import json

import pytest

from touchstone.runs.cloud_events import events
from touchstone.runs.store import State

RUN = {
    "apiVersion": "tekton.dev/v1",
    "kind": "PipelineRun",
    "metadata": {"name": "r"},
    "spec": {
        "pipelineRef": {"name": "p"},
        "taskRunTemplate": {"serviceAccountName": "builder"},
        "taskRunSpecs": [{"pipelineTaskName": "a", "serviceAccountName": "b"}],
    },
}
TASK = {
    "apiVersion": "tekton.dev/v1",
    "kind": "TaskRun",
    "metadata": {"name": "t"},
    "spec": {"taskSpec": {"steps": [{"name": "s", "computeResources": {"limits": {}}}]}},
}


def status(state, reason, message="", **more):
    condition = {"type": "Succeeded", "status": state, "reason": reason, "message": message}
    return {"conditions": [condition], **more}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, {}, ["queued"]),
        (None, status("Unknown", "Running"), ["queued", "started", "running"]),
        ({}, status("Unknown", "Running"), ["started", "running"]),
        ({}, status("Unknown", "Started"), ["started"]),
        ({}, status("False", "ValidationFailed"), ["started", "failed"]),
        (status("Unknown", "Running"), status("Unknown", "Running"), []),
        (status("Unknown", "Running"), status("Unknown", "ToBeRetried"), ["unknown"]),
        (status("Unknown", "Running"), {"retriesStatus": []}, []),
        (status("Unknown", "Running"), status("True", "Completed"), ["successful"]),
        (status("Unknown", "Stopping"), status("False", "Cancelled"), ["failed"]),
    ],
)
def test_the_type_follows_from_the_condition(before, after, told):
    for manifest, kind in ((RUN, "pipelinerun"), (TASK, "taskrun")):
        types = [event.type for event in events(manifest, before, after)]
        assert types == [f"dev.tekton.event.{kind}.{word}.v1" for word in told]


def test_attributes_and_data_are_what_tekton_sends():
    (event,) = events(RUN, {}, status("Unknown", "Started"))
    assert event.attributes["source"] == "/apis/tekton.dev/v1/namespaces/default/PipelineRun/r"
    assert event.attributes["subject"] == "r"
    assert event.attributes["specversion"] == "1.0"
    run = event.data["pipelineRun"]
    assert run["apiVersion"] == "tekton.dev/v1beta1"
    assert run["spec"]["serviceAccountName"] == "builder"
    assert run["spec"]["taskRunSpecs"][0]["taskServiceAccountName"] == "b"
    done = status("True", "Succeeded", results=[{"name": "x", "value": "1"}])
    assert events(RUN, {}, done)[-1].data["pipelineRun"]["status"]["pipelineResults"]
    task = events(TASK, {}, done)[-1].data["taskRun"]
    assert task["status"]["taskResults"][0]["value"] == "1"
    assert "resources" in task["spec"]["taskSpec"]["steps"][0]


def stored(state):
    with state.transaction() as connection:
        rows = connection.execute("SELECT type, data FROM outbox ORDER BY id").fetchall()
    return [(row[0].split(".", 3)[3], json.loads(row[1])) for row in rows]


def test_nothing_is_stored_while_no_sink_is_set(tmp_path):
    state = State(tmp_path)
    state.add_run(RUN)
    state.save_run("r", status("Unknown", "Running"), done=False)
    assert stored(state) == []


def test_a_type_is_stored_once_for_an_object_but_unknown_at_each_change(tmp_path):
    state = State(tmp_path)
    with state.transaction() as connection:
        connection.execute("INSERT INTO settings VALUES ('sink', 'http://localhost')")
    state.add_run(RUN)
    for message in ("one", "one", "two"):
        state.save_run("r", status("Unknown", "Running", message), done=False)
        state.save_run("r", status("Unknown", "Stopping", message), done=False)
    state.add_taskrun("r", TASK)
    state.add_taskrun("r", TASK)
    state.save_taskrun("r", "t", status("True", "Succeeded"))
    assert [kind for kind, _ in stored(state)] == [
        "pipelinerun.queued.v1",
        "pipelinerun.started.v1",
        "pipelinerun.running.v1",
        *["pipelinerun.unknown.v1"] * 3,
        "taskrun.queued.v1",
        "taskrun.started.v1",
        "taskrun.successful.v1",
    ]
