"""`events`, `replay` and `trigger` from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.errors import TouchstoneError
from touchstone.events import inside, signature
from touchstone.home import Home
from touchstone.runs.store import State

PUSH = {
    "ref": "refs/heads/main",
    "after": "0123456789abcdef0123456789abcdef01234567",
    "deleted": False,
    "repository": {"name": "m", "full_name": "me/m", "clone_url": "file:///srv/m.git"},
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


def test_replay_explains_each_step_and_only_a_dry_run_starts_nothing(home):
    store(home, json.dumps(PUSH).encode())
    said = touchstone("replay", "1", "--dry-run")
    assert "github-push: fired" in said and "param revision" in said
    assert "gitlab-push: not fired" in said and "is not allowed" in said
    assert len(State(home.root).pending_events()) == 1
    touchstone("replay", "1")
    assert len(State(home.root).pending_events()) == 2


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
    assert "github-push" not in said


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
    assert fired["trigger"] == "github-push"
    assert fired["objects"][0]["kind"] == "PipelineRun"
    unsigned = json.loads(touchstone("trigger", str(body), *arguments))
    assert not any(item["fired"] for item in unsigned)


def test_trigger_says_which_part_of_a_filter_was_false(home, tmp_path):
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
    assert "body.ref == 'refs/heads/main' is false" in said


PREVIEWS = """
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
        - {key: share, expression: "body.share"}
    bindings:
    - {name: namespace, value: "$(extensions.namespace)-$(extensions.share)"}
    template:
      spec:
        params: [{name: namespace}]
        resourcetemplates:
        - {apiVersion: v1, kind: ConfigMap, metadata: {name: out},
           data: {namespace: "$(tt.params.namespace)"}}
"""


def test_trigger_writes_numbers_and_truth_as_tekton_does(home, tmp_path):
    body, listener = tmp_path / "pull-request.json", tmp_path / "listener.yaml"
    body.write_text(json.dumps({"pull_request": {"number": 7, "draft": False}, "share": 1e-7}))
    listener.write_text(PREVIEWS)
    (found,) = json.loads(touchstone("trigger", str(body), "-f", str(listener), "--json"))
    assert found["objects"][0]["data"] == {"namespace": "preview-7-1e-7"}
