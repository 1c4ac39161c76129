"""`events`, `replay` and `trigger` from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.errors import TouchstoneError
from touchstone.events import inside, signature
from touchstone.home import Home
from touchstone.platform.embedded import listener_of
from touchstone.runs.store import State

PUSH = {
    "ref": "refs/heads/main",
    "after": "0123456789abcdef0123456789abcdef01234567",
    "deleted": False,
    "repository": {
        "name": "m",
        "full_name": "me/m",
        "clone_url": "file:///srv/m.git",
        "default_branch": "main",
    },
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    home = Home.default()
    home.prepare()
    return home


def touchstone(*arguments: str) -> str:
    result = CliRunner().invoke(_app(), arguments)
    if isinstance(result.exception, TouchstoneError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def store(home, body: bytes) -> None:
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        signature.HEADER: signature.sign(body, home.webhook_token.read_bytes()),
    }
    State(home.root).add_event(source="github", event_id="1", headers=headers, body=body)


def test_events_lists_what_came_in_with_its_outcome(home):
    assert "no event yet" in touchstone("events")
    store(home, json.dumps(PUSH).encode())
    assert "waits to be processed" in touchstone("events")
    (event,) = json.loads(touchstone("events", "--json"))
    assert (event["source"], event["type"], event["processed"]) == ("github", "push", None)


def test_events_says_in_one_line_what_came_of_each_before_the_details(home):
    store(home, json.dumps({**PUSH, "ref": "refs/heads/feature"}).encode())
    listener_of(home, State(home.root)).process_pending()
    head, told, *details = touchstone("events").splitlines()
    assert "github  push" in head
    assert told.strip().startswith("nothing started: ")
    assert any("push: nothing started, " in line for line in details)
    assert touchstone("events", "--model", "m") == touchstone("events", "--model", "me/m") != ""
    assert "no event yet" in touchstone("events", "--model", "another")


def test_replay_explains_each_step_and_only_a_dry_run_starts_nothing(home):
    store(home, json.dumps(PUSH).encode())
    said = touchstone("replay", "1", "--dry-run")
    assert "push: fired" in said and "param revision" in said
    assert "comment: not fired" in said and "event type push is for other triggers" in said
    assert len(State(home.root).pending_events()) == 1
    touchstone("replay", "1")
    assert len(State(home.root).pending_events()) == 2


def test_replay_of_what_is_no_event_and_no_file_says_where_events_are_listed(home):
    result = CliRunner().invoke(_app(), ["replay", "EVENT", "--dry-run"])
    assert "expected the number of an event" in str(result.exception)
    assert "touchstone events" in result.exception.hint


def test_an_event_of_the_platforms_own_can_be_replayed(home):
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/runs/m",
        "ce-type": "dev.touchstone.model.refused.v1",
    }
    body = json.dumps({"promote": "false"}).encode()
    inside.put(State(home.root), headers, body, listener=inside.SOURCES)
    said = touchstone("replay", "1", "--dry-run")
    assert "remedy: not fired" in said
    assert "push" not in said


@pytest.mark.parametrize("event", ["7", "absent.json"])
def test_replay_of_what_is_not_there_is_refused(home, event):
    with pytest.raises(TouchstoneError, match="got"):
        touchstone("replay", event, "--dry-run")


def test_trigger_needs_no_platform_and_shows_the_objects(home, tmp_path):
    body, secret = tmp_path / "push.json", tmp_path / "token"
    body.write_text(json.dumps(PUSH))
    secret.write_bytes(b"key")
    reference = "touchstone-webhook/token"
    arguments = ["-H", "X-GitHub-Event: push", "--secret", f"{reference}={secret}", "--json"]
    found = json.loads(touchstone("trigger", str(body), *arguments, "--sign", reference))
    (fired,) = [item for item in found if item["fired"]]
    assert fired["trigger"] == "push"
    assert fired["objects"][0]["kind"] == "PipelineRun"
    unsigned = json.loads(touchstone("trigger", str(body), *arguments))
    assert not any(item["fired"] for item in unsigned)


TWICE = """
apiVersion: v1
kind: Secret
metadata: {name: hook}
stringData: {token: hush}
data: {token: b3RoZXI=}
---
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: l}
spec:
  triggers:
  - name: t
    interceptors:
    - ref: {name: gitlab}
      params: [{name: secretRef, value: {secretName: hook, secretKey: token}}]
    bindings: [{name: team, value: $(header.X-Team)}]
    template:
      spec:
        params: [{name: team}]
        resourcetemplates:
        - apiVersion: v1
          kind: ConfigMap
          metadata: {name: out}
          data: {team: $(tt.params.team)}
"""


def test_a_secret_of_the_same_files_serves_and_the_given_one_takes_its_place(home, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "all.yaml").write_text(TWICE)
    (tmp_path / "body.json").write_text("{}")
    (tmp_path / "token").write_text("given")
    body = (str(tmp_path / "body.json"), "-f", str(files), "--json")

    def fired(*more: str) -> bool:
        sent = (*body, "-H", "X-Team: a", *more)
        return bool(json.loads(touchstone("trigger", *sent))[0]["fired"])

    assert fired("-H", "X-Gitlab-Token: hush")
    given = ("--secret", f"hook/token={tmp_path / 'token'}")
    assert not fired("-H", "X-Gitlab-Token: hush", *given)
    assert fired("-H", "X-Gitlab-Token: given", *given)


def test_a_secret_that_is_not_there_is_told_from_a_key_that_it_lacks(home, tmp_path):
    (tmp_path / "body.json").write_text("{}")
    (tmp_path / "all.yaml").write_text(TWICE.replace("secretKey: token", "secretKey: other"))
    arguments = (str(tmp_path / "body.json"), "-f", str(tmp_path / "all.yaml"))
    asked = (*arguments, "-H", "X-Gitlab-Token: hush")
    assert "got the keys ['token'] of the Secret hook" in touchstone("trigger", *asked)
    (tmp_path / "all.yaml").write_text(TWICE.partition("---")[2])
    assert "got no Secret hook in the files" in touchstone("trigger", *asked)


def test_headers_of_one_name_reach_a_binding_joined_by_commas(home, tmp_path):
    (tmp_path / "body.json").write_text("{}")
    (tmp_path / "all.yaml").write_text(TWICE)
    headers = ("X-Gitlab-Token: hush", "X-Team: a", "x-team: b, c")
    arguments = [part for header in headers for part in ("-H", header)]
    (found,) = json.loads(
        touchstone(
            "trigger", str(tmp_path / "body.json"), "-f", str(tmp_path), "--json", *arguments
        )
    )
    assert found["objects"][0]["data"] == {"team": "a,b, c"}


def test_trigger_says_in_a_sentence_why_nothing_starts(home, tmp_path):
    body = tmp_path / "push.json"
    body.write_text(json.dumps(PUSH | {"ref": "refs/heads/other"}))
    (tmp_path / "token").write_bytes(b"key")
    reference = "touchstone-webhook/token"
    said = touchstone(
        "trigger",
        str(body),
        "-H",
        "X-GitHub-Event: push",
        "--secret",
        f"{reference}={tmp_path / 'token'}",
        "--sign",
        reference,
    )
    sentence = "only the default branch, main, starts a run, and this was a push to other"
    assert f"because {sentence}" in said


def test_a_number_and_a_truth_value_become_text_as_on_a_cluster(home, tmp_path):
    """The namespace of a preview is named after a merge request (tektoncd/triggers#1092)."""
    (tmp_path / "body.json").write_text('{"pull_request": {"number": 7, "draft": false}}')
    (tmp_path / "listener.yaml").write_text(
        """
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: previews}
spec:
  triggers:
  - name: preview
    interceptors:
    - ref: {name: cel}
      params:
      - {name: filter, value: "string(body.pull_request.draft) == 'false'"}
      - name: overlays
        value:
        - {key: namespace, expression: "'preview-' + string(body.pull_request.number)"}
        - {key: small, expression: "1.0 / 100000.0"}
        - {key: smaller, expression: "1.0 / 10000000.0"}
        - {key: large, expression: "1e21"}
        - {key: digest, expression: "b'ab'"}
    bindings:
    - {name: namespace, value: "$(extensions.namespace)"}
    - {name: others, value: "$(extensions.small) $(extensions.smaller) $(extensions.large) $(extensions.digest)"}
    template:
      spec:
        params: [{name: namespace}, {name: others}]
        resourcetemplates:
        - apiVersion: v1
          kind: ConfigMap
          metadata: {name: out}
          data: {namespace: "$(tt.params.namespace)", others: "$(tt.params.others)"}
"""  # noqa: E501
    )
    files = (str(tmp_path / "body.json"), "-f", str(tmp_path / "listener.yaml"))
    (found,) = json.loads(
        touchstone("trigger", *files, "-H", "Content-Type: application/json", "--json")
    )
    data = {"namespace": "preview-7", "others": "0.00001 1e-7 1e+21 YWI="}
    assert found["objects"][0]["data"] == data


def test_validate_refuses_a_filter_that_no_event_can_satisfy(home, tmp_path):
    (tmp_path / "listener.yaml").write_text(
        """
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: l}
spec:
  triggers:
  - interceptors: [{ref: {name: cel}, params: [{name: filter, value: "'2' == 2"}]}]
    template: {spec: {resourcetemplates: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}]}}
"""
    )
    result = CliRunner().invoke(_app(), ["validate", str(tmp_path / "listener.yaml")])
    assert isinstance(result.exception, TouchstoneError)
    assert "applied to '(string, int)'" in result.output
