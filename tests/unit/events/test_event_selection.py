"""Which triggers a listener has: selected, referred to, inline and in groups; and object stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from touchstone.errors import ManifestError
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_listeners, load_triggers
from touchstone.runs.store import State

HEAD = "apiVersion: triggers.tekton.dev/v1beta1\n"
LISTENER = HEAD + "kind: EventListener\nmetadata: {name: el, namespace: ci}\nspec:\n"
TEMPLATE = """{spec: {params: [{name: x, default: none}], resourcetemplates: [{apiVersion: KIND,
  metadata: {generateName: run-}, spec: {params: [{name: x, value: $(tt.params.x)}]}}]}}"""
INLINE = TEMPLATE.replace("KIND", "tekton.dev/v1, kind: PipelineRun")


def trigger(name: str, namespace: str, labels: str = "", value: str = "$(body.x)") -> str:
    return (
        f"---\n{HEAD}kind: Trigger\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
        f"  labels: {{{labels}}}\nspec:\n  bindings: [{{name: x, value: '{value}'}}]\n"
        f"  template: {INLINE}\n"
    )


OBJECTS = (
    trigger("plain", "ci")
    + trigger("red", "ci", "color: red")
    + trigger("blue", "ci", "color: blue")
    + trigger("far", "prod", "color: red")
)


def load(folder: Path, text: str):
    (folder / "all.yaml").write_text(text)
    return load_triggers([folder])


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("  labelSelector: {matchLabels: {color: red}}", ["red"]),
        (
            "  labelSelector: {matchExpressions: [{key: color, operator: In, values: [red, blue]}]}",  # noqa: E501
            ["red", "blue"],
        ),
        (
            "  labelSelector: {matchExpressions: [{key: color, operator: DoesNotExist}]}",
            ["plain"],
        ),
        (
            "  labelSelector: {matchExpressions: [{key: color, operator: NotIn, values: [red]}]}",
            ["plain", "blue"],
        ),
        ("  namespaceSelector: {matchNames: [prod]}", ["far"]),
        ("  namespaceSelector: {matchNames: ['*']}", ["plain", "red", "blue", "far"]),
        (
            "  namespaceSelector: {matchNames: ['*']}\n"
            "  labelSelector: {matchLabels: {color: red}}",
            ["red", "far"],
        ),
        ("  triggers: [{triggerRef: plain}]", ["plain"]),
        (f"  triggers: [{{name: here, template: {INLINE}}}]", ["here"]),
        (
            f"  labelSelector: {{matchLabels: {{color: red}}}}\n"
            f"  triggers: [{{name: here, template: {INLINE}}}]",
            ["red", "here"],
        ),
    ],
)
def test_a_listener_has_the_triggers_that_it_selects_and_its_own(tmp_path, spec, names):
    found = load(tmp_path, f"{LISTENER}{spec}\n{OBJECTS}")
    assert [item.name for item in found.triggers] == names


GROUP = """  triggerGroups:
    - name: g
      interceptors:
        - ref: {name: cel}
          params:
            - {name: filter, value: body.x != 'no'}
            - {name: overlays, value: [{key: up, expression: body.x.upperAscii()}]}
      triggerSelector: {labelSelector: {matchLabels: {color: red}}}
"""


@pytest.mark.parametrize(("value", "runs"), [("yes", ["YES"]), ("no", [])])
def test_a_groups_interceptors_judge_for_all_its_triggers_and_pass_extensions_on(
    tmp_path, value, runs
):
    text = LISTENER + GROUP + trigger("red", "ci", "color: red", "$(extensions.up)")
    triggers = load(tmp_path, text)
    state = State(tmp_path / "home")
    listener = Listener(state, triggers=triggers, secrets=lambda name, key: b"")
    state.add_event(source="s", event_id="1", headers={}, body=json.dumps({"x": value}).encode())
    made = [state.run(name).manifest for name in listener.process_pending()]
    assert [run["spec"]["params"][0]["value"] for run in made] == runs


def test_objects_of_a_trigger_in_another_namespace_are_made_there(tmp_path):
    text = f"{LISTENER}  namespaceSelector: {{matchNames: [prod]}}\n{OBJECTS}"
    state = State(tmp_path / "home")
    listener = Listener(state, triggers=load(tmp_path, text), secrets=lambda name, key: b"")
    state.add_event(source="s", event_id="1", headers={}, body=b"{}")
    (name,) = listener.process_pending()
    run = state.run(name).manifest
    assert run["metadata"]["namespace"] == "prod"
    assert run["spec"]["params"][0]["value"] == "none", "the template's default"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("  serviceAccountName: x", "no labelSelector"),
        ("  triggers: [{triggerRef: nobody}]", "no Trigger 'nobody'"),
        ("  triggers: [{name: x}]", "neither template nor triggerRef"),
        (f"  triggers: [{{triggerRef: plain, template: {INLINE}}}]", "triggerRef and template"),
        ("  triggers: [{name: x, template: {}}]", "none of ref, spec"),
        ("  triggerGroups: [{name: g, interceptors: [], triggerSelector: {}}]", "at least one"),
        (
            "  triggerGroups: [{name: g, interceptors: [{ref: {name: cel}}], triggerSelector: {}}]",
            "triggerSelector: got neither labelSelector",
        ),
        (
            "  labelSelector: {matchExpressions: [{key: a, operator: Like}]}",
            r"matchExpressions\[0\].operator",
        ),
    ],
)
def test_a_selection_that_cannot_mean_anything_is_refused_with_its_place(tmp_path, spec, reason):
    with pytest.raises(ManifestError, match=reason) as raised:
        load(tmp_path, f"{LISTENER}{spec}\n{OBJECTS}")
    assert raised.value.location.startswith(f"{tmp_path}/all.yaml:")


def test_a_kind_that_the_platform_cannot_keep_is_refused_there_but_not_at_load(tmp_path):
    other = TEMPLATE.replace("KIND", "v1, kind: ConfigMap")
    triggers = load(tmp_path, f"{LISTENER}  triggers: [{{name: x, template: {other}}}]\n")
    with pytest.raises(ManifestError, match="v1 ConfigMap"):
        Listener(State(tmp_path / "home"), triggers=triggers, secrets=lambda name, key: b"")


STORE = (
    LISTENER
    + f"""  triggers:
    - name: new-data
      interceptors:
        - ref: {{name: cel}}
          params:
            - name: filter
              value: >-
                header.canonical('Authorization').replace('Bearer ', '')
                .compareSecret('token', 'store')
                && body.EventName.startsWith('s3:ObjectCreated:')
      bindings: [{{name: x, value: $(body.Key)}}]
      template: {INLINE}
"""
)
MINIO = {
    "EventName": "s3:ObjectCreated:Put",
    "Key": "training/2026-11-24.csv",
    "Records": [
        {
            "eventVersion": "2.0",
            "eventSource": "minio:s3",
            "eventTime": "2026-11-24T10:00:00.000Z",
            "eventName": "s3:ObjectCreated:Put",
            "s3": {"bucket": {"name": "training"}, "object": {"key": "2026-11-24.csv", "size": 9}},
        }
    ],
}


@pytest.mark.parametrize(
    ("token", "changes", "envelope", "status", "runs"),
    [
        ("Bearer hush", {}, {}, 202, 1),
        ("Bearer hush", {"EventName": "s3:ObjectRemoved:Delete"}, {}, 202, 0),
        ("Bearer other", {}, {}, 401, 0),
        ("", {}, {}, 401, 0),
        (
            "Bearer hush",
            {},
            {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/minio", "ce-type": "t"},
            202,
            1,
        ),
        (
            "Bearer other",
            {},
            {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/minio", "ce-type": "t"},
            422,
            0,
        ),
    ],
)
def test_new_data_in_an_object_store_starts_a_run_only_with_its_token(
    tmp_path, token, changes, envelope, status, runs
):
    listener = Listener(
        State(tmp_path / "home"),
        triggers=load(tmp_path, STORE),
        secrets=lambda name, key: b"hush",
    )
    headers = {"authorization": token} if token else {}
    answer = TestClient(create_app(listener)).post(
        "/", json=MINIO | changes, headers=headers | envelope
    )
    assert answer.status_code == status, answer.text
    stored = json.dumps([dict(event.headers) for event in listener.state.pending_events()])
    assert "hush" not in stored
    assert len(listener.process_pending()) == runs


def test_a_second_listener_answers_at_its_own_path_with_its_own_triggers(tmp_path):
    second = LISTENER.replace("name: el", "name: inner")
    text = (
        f"{LISTENER}  triggers: [{{name: a, template: {INLINE}}}]\n---\n"
        f"{second}  triggers: [{{name: b, template: {INLINE}}}]\n"
    )
    (tmp_path / "all.yaml").write_text(text)
    first, inner = load_listeners([tmp_path])
    listener = Listener(
        State(tmp_path / "home"), triggers=first, also=[inner], secrets=lambda name, key: b""
    )
    envelope = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}
    answer = TestClient(create_app(listener)).post("/inner", json={}, headers=envelope)
    assert answer.json()["eventListener"] == "inner"
    (name,) = listener.process_pending()
    labels = listener.state.run(name).manifest["metadata"]["labels"]
    assert labels["triggers.tekton.dev/trigger"] == "b"
