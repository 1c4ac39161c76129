"""CloudEvents in: both modes, once each, and only to triggers that ask for no signature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cloudevents.http import CloudEvent, to_binary, to_structured
from starlette.testclient import TestClient

from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.runs.store import State

ROOT = Path(__file__).parents[2]
DRIFT = """
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: monitors}
spec:
  triggers:
    - name: drift
      interceptors:
        - ref: {name: cel}
          params:
            - name: filter
              value: header.match('Ce-Type', 'dev.touchstone.monitor.drift.v1') || has(body.data)
      bindings:
        - {name: model, value: FIELD}
      template: {ref: again}
---
apiVersion: triggers.tekton.dev/v1beta1
kind: TriggerTemplate
metadata: {name: again}
spec:
  params: [{name: model, description: The model that drifted.}]
  resourcetemplates:
    - apiVersion: tekton.dev/v1
      kind: PipelineRun
      metadata: {generateName: again-}
      spec: {pipelineRef: {name: model}, params: [{name: model, value: $(tt.params.model)}]}
"""


def event(**changes: Any) -> CloudEvent:
    attributes = {
        "id": "1",
        "source": "/monitors/drift",
        "type": "dev.touchstone.monitor.drift.v1",
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes | changes, {"model": "detector"})


def serve(folder: Path, field: str) -> tuple[TestClient, Listener]:
    file = folder / "drift.yaml"
    file.write_text(DRIFT.replace("FIELD", field))
    listener = Listener(
        State(folder / "home"), triggers=load_triggers([file]), secrets=lambda name, key: b"x"
    )
    return TestClient(create_app(listener)), listener


@pytest.mark.parametrize(
    ("encode", "field"),
    [(to_binary, "$(body.model)"), (to_structured, "$(body.data.model)")],
    ids=["binary", "structured"],
)
def test_an_event_starts_one_run_and_is_known_by_its_source_and_id(tmp_path, encode, field):
    client, listener = serve(tmp_path, field)
    for expected in ("stored", "duplicate"):
        headers, body = encode(event())
        answer = client.post("/", headers=headers, content=body)
        assert (answer.status_code, answer.json()["status"]) == (202, expected)
    headers, body = encode(event(source="/monitors/other"))
    assert client.post("/", headers=headers, content=body).json()["status"] == "stored"
    runs = [listener.state.run(name) for name in listener.process_pending()]
    assert len(runs) == 2
    assert runs[0].manifest["spec"]["params"] == [{"name": "model", "value": "detector"}]


def test_who_proves_nothing_hears_nothing_of_what_came_of_an_event(tmp_path):
    client, listener = serve(tmp_path, "$(body.model)")
    headers, body = to_binary(event())
    client.post("/", headers=headers, content=body)
    listener.process_pending()
    again = client.post("/", headers={**headers, "prefer": "wait=2"}, content=body).json()
    assert again["status"] == "duplicate" and "outcome" not in again and "runs" not in again


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"specversion": None}, 400),
        ({"specversion": "0.3"}, 400),
        ({"specversion": "9"}, 400),
        ({"id": None}, 400),
        ({"id": ""}, 400),
        ({"id": 7}, 400),
        ({"source": None}, 400),
        ({"type": None}, 400),
    ],
)
def test_an_envelope_that_is_no_cloudevent_1_0_is_refused(tmp_path, changes, status):
    client, listener = serve(tmp_path, "$(body.data.model)")
    document = json.loads(to_structured(event())[1]) | changes
    document = {name: value for name, value in document.items() if value is not None}
    answer = client.post(
        "/",
        headers={"content-type": "application/cloudevents+json"},
        content=json.dumps(document).encode(),
    )
    assert answer.status_code == status, answer.text
    assert listener.state.pending_events() == []


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"]
)
def test_a_format_that_is_not_read_is_refused(tmp_path, content_type):
    client, listener = serve(tmp_path, "$(body.data.model)")
    answer = client.post("/", headers={"content-type": content_type}, content=b"[]")
    assert answer.status_code == 415
    assert listener.state.pending_events() == []


def test_binary_data_that_is_not_json_is_refused(tmp_path):
    client, listener = serve(tmp_path, "$(body.model)")
    headers, _ = to_binary(event())
    assert client.post("/", headers=headers, content=b"{").status_code == 400
    headers["content-type"] = "text/plain"
    assert client.post("/", headers=headers, content=b"x").status_code == 415
    assert listener.state.pending_events() == []


def test_a_listener_whose_triggers_all_want_a_signature_takes_no_cloudevent(tmp_path):
    listener = Listener(
        State(tmp_path),
        triggers=load_triggers([ROOT / "tekton" / "triggers"]),
        secrets=lambda name, key: b"x",
    )
    headers, body = to_structured(event())
    answer = TestClient(create_app(listener)).post("/", headers=headers, content=body)
    assert answer.status_code == 422
    assert listener.state.pending_events() == []


def test_a_webhook_without_a_signature_finds_no_way_around_it_as_a_cloudevent(tmp_path):
    client, listener = serve(tmp_path, "$(body.model)")
    assert client.post("/", json={"model": "x"}).status_code == 401
    assert listener.state.pending_events() == []
