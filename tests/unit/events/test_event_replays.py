"""A captured delivery starts nothing again, whatever headers it is sent under."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from forge_samples import SAMPLES, post, secrets

from touchstone.events import signature
from touchstone.events.interceptors import cel
from touchstone.events.listener import Listener
from touchstone.events.triggers import load_triggers

SIGNED = [sample for sample in SAMPLES if sample.forge != "gitlab"]
ONE_OF_EACH = {sample.forge: sample for sample in SIGNED}.values()


@pytest.fixture
def listener(state, triggers):
    return Listener(state, triggers=triggers, secrets=secrets)


CHANGES = {
    "another delivery id": {"x-github-delivery": "2", "x-gitea-delivery": "2"},
    "another request id": {"x-request-uuid": "2", "x-request-id": "2"},
    "as from Gitea too": {"x-gitea-event": "push"},
    "as from Forgejo too": {"x-forgejo-event": "push"},
    "as from GitLab too": {"x-gitlab-event": "Push Hook", "idempotency-key": "2"},
    "as from GitLab alone": {
        "x-gitlab-event": "Push Hook",
        "idempotency-key": "2",
        "x-gitlab-event-uuid": "3",
        **dict.fromkeys(("x-forgejo-event", "x-gitea-event", "x-github-event", "x-event-key"), ""),
    },
    "as from Slack too": {"x-slack-signature": "v0=0"},
    "as a CloudEvent": {
        "ce-specversion": "1.0",
        "ce-id": "2",
        "ce-source": "/captured",
        "ce-type": "push",
    },
    "as another content type": {"content-type": "application/cloudevents+json"},
    "with a query": {"x-forwarded-for": "192.0.2.1"},
}


@pytest.mark.parametrize("sample", ONE_OF_EACH, ids=lambda sample: sample.forge)
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_captured_delivery_under_other_headers_starts_nothing(listener, sample, changes):
    headers, body = sample.delivery()
    assert post(listener, headers, body).json()["status"] == "stored"
    assert len(listener.process_pending()) == 1
    replayed = {name: text for name, text in (headers | changes).items() if text}
    answer = post(listener, replayed, body)
    assert answer.status_code in (400, 401, 422) or answer.json()["status"] == "duplicate"
    assert listener.process_pending() == []


ANY_EVENT = """
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: any}
spec:
  triggers:
    - name: any
      interceptors:
        - ref: {name: github, kind: ClusterInterceptor}
          params: [{name: secretRef, value: {secretName: touchstone-webhook, secretKey: token}}]
      template:
        spec:
          resourcetemplates:
            - apiVersion: tekton.dev/v1
              kind: PipelineRun
              metadata: {generateName: any-}
              spec: {pipelineRef: {name: any}}
"""


def test_a_trigger_of_any_event_takes_a_signed_body_once_whoever_is_named_as_its_sender(
    state, tmp_path: Path
):
    (tmp_path / "any.yaml").write_text(ANY_EVENT)
    listener = Listener(state, triggers=load_triggers([tmp_path / "any.yaml"]), secrets=secrets)
    body = b'{"a": 1}'
    proof = {
        "content-type": "application/json",
        signature.HEADER: signature.sign(body, secrets("touchstone-webhook", "token")),
    }
    senders = [
        {"x-github-event": "push"},
        {"x-gitlab-event": "Push Hook", "idempotency-key": "1"},
        {"x-gitlab-event": "Push Hook", "idempotency-key": "2"},
        {"x-forgejo-event": "push"},
        {"x-event-key": "repo:push"},
        {},
    ]
    told = [post(listener, proof | sender, body).json()["status"] for sender in senders]
    assert told == ["stored", *["duplicate"] * 5]
    assert len(listener.process_pending()) == 1


def test_gitlabs_own_key_tells_a_second_push_from_a_retry(listener):
    (sample,) = (item for item in SAMPLES if item.name == "gitlab-push")
    headers, body = sample.delivery()
    keys = ("1", "1", "2")
    told = [post(listener, headers | {"idempotency-key": key}, body) for key in keys]
    assert [answer.json()["status"] for answer in told] == ["stored", "duplicate", "stored"]


def test_an_event_is_known_among_kindred_sources_alone(state):
    def add(source, *among):
        stored = state.add_event(source=source, event_id="1", headers={}, body=b"", among=among)
        return stored is not None

    assert add("github")
    assert not add("github")
    assert not add("gitea", "github", "gitea")
    assert add("cloudevents github")
    assert add("gitea")


def test_the_look_for_a_known_event_uses_the_index_and_not_the_whole_table(state, monkeypatch):
    asked: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    state.add_event(source="github", event_id="1", headers={}, body=b"", among=("gitea",))
    monkeypatch.undo()
    (insert,) = (text for text in asked if text.startswith("INSERT"))
    with state.transaction() as connection:
        plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {insert}")]
    assert any("USING" in line and "INDEX" in line and "event_id=?" in line for line in plan), plan


def test_each_secret_signs_a_strangers_body_once(listener, monkeypatch):
    headers, body = SIGNED[0].delivery()
    signed = []
    sign = signature.sign
    monkeypatch.setattr(signature, "sign", lambda *a: signed.append(a[1]) or sign(*a))
    wrong = {"x-hub-signature-256": "sha256=0", "x-hub-signature": "sha256=0"}
    assert post(listener, headers | wrong, body).status_code == 401
    assert len(signed) == len(set(signed)) <= 3


SLACK = ANY_EVENT.replace(
    "ref: {name: github, kind: ClusterInterceptor}", "ref: {name: cel, kind: ClusterInterceptor}"
).replace(
    "{name: secretRef, value: {secretName: touchstone-webhook, secretKey: token}}",
    """{name: filter, value: "body.token[0].compareSecret('token', 'touchstone-webhook')"}""",
)


@pytest.mark.parametrize(("size", "reason"), [(1 << 16, "did not return true"), (70000, "70000")])
def test_a_strangers_body_is_parsed_for_its_proof_up_to_64_kib(state, tmp_path, size, reason):
    (tmp_path / "any.yaml").write_text(SLACK)
    listener = Listener(state, triggers=load_triggers([tmp_path / "any.yaml"]), secrets=secrets)
    body = b'{"token": ["wrong"], "x": "'
    body += b"x" * (size - len(body) - 2) + b'"}'
    answer = post(listener, {"content-type": "application/json"}, body)
    assert answer.status_code == 401 and reason in answer.json()["error"]


@pytest.mark.parametrize("sample", SIGNED, ids=lambda sample: sample.name)
def test_nothing_of_a_body_with_a_wrong_signature_is_read(listener, sample, monkeypatch):
    asked = []
    evaluate = cel.DIALECT.evaluate
    monkeypatch.setattr(
        cel.DIALECT,
        "evaluate",
        lambda text, context, **k: asked.append(context["body"]) or evaluate(text, context, **k),
    )
    headers, _ = sample.delivery()
    answer = post(listener, headers, b"[" * 100_000)
    assert answer.status_code == 401
    assert not any(asked)
