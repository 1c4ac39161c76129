"""A command in a comment becomes one TaskRun by its own forge's trigger; other words nothing."""

from __future__ import annotations

import json

import pytest
from comment_samples import COMMENTS, S3_TEST_EVENT, minio, record
from forge_samples import SECRETS, post, secrets

from touchstone.events.listener import Listener
from touchstone.requests.comments import Command, parse

BY_EVENT = {f"{sample.forge} {sample.event}": sample for sample in COMMENTS}
TEXTS = {
    "github issue_comment": "comment.body",
    "github pull_request_review_comment": "comment.body",
    "forgejo issue_comment": "comment.body",
    "gitlab Note Hook": "object_attributes.note",
    "bitbucket-cloud pullrequest:comment_created": "comment.content.raw",
    "bitbucket-data-center pr:comment:added": "comment.text",
}
TOKEN = SECRETS["touchstone-object-store", "token"].decode()


@pytest.fixture
def listener(state, triggers):
    return Listener(state, triggers=triggers, secrets=secrets)


def params_of(listener, name):
    spec = listener.state.run(name).manifest["spec"]
    return {item["name"]: item["value"] for item in spec["params"]}


@pytest.mark.parametrize("sample", COMMENTS, ids=list(BY_EVENT))
def test_a_command_starts_one_task_that_knows_who_asks_for_what(listener, sample):
    headers, body = sample.delivery()
    assert post(listener, headers, body).json()["status"] == "stored"
    assert post(listener, headers, body).json()["status"] == "duplicate"
    (name,) = listener.process_pending()
    run = listener.state.run(name).manifest
    assert (run["kind"], run["spec"]["taskRef"]["name"]) == ("TaskRun", "pull-request-command")
    assert run["metadata"]["annotations"]["touchstone.dev/unqueued"] == "true"
    params = params_of(listener, name)
    assert sample.started.items() <= params.items()
    assert params["repo-url"] == sample.url


@pytest.mark.parametrize("sample", COMMENTS, ids=list(BY_EVENT))
def test_a_comment_without_the_forges_proof_is_refused(listener, sample):
    headers, body = sample.delivery()
    proofs = [name for name in headers if "signature" in name or name == "x-gitlab-token"]
    for wrong in ("sha256=" + "0" * 64, ""):
        assert post(listener, headers | dict.fromkeys(proofs, wrong), body).status_code == 401
    assert listener.state.pending_events() == []


@pytest.mark.parametrize(
    "words", ["LGTM", "please /test", "/tests", "/test it", " /test", "/ok", ""]
)
@pytest.mark.parametrize("event", BY_EVENT)
def test_other_words_start_nothing(listener, event, words):
    post(listener, *BY_EVENT[event].delivery(**{TEXTS[event]: words}))
    assert listener.process_pending() == []


@pytest.mark.parametrize(
    "words", ["/hold cancel", "/retest ", "/approve\nthank you", "/cancel\r\n"]
)
@pytest.mark.parametrize("event", BY_EVENT)
def test_commands_are_read_from_the_first_line(listener, event, words):
    post(listener, *BY_EVENT[event].delivery(**{TEXTS[event]: words}))
    (name,) = listener.process_pending()
    assert parse(params_of(listener, name)["text"]) is parse(words) is not None


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        ("github issue_comment", {"action": "edited"}),
        ("github issue_comment", {"issue": {"number": 7}}),
        ("forgejo issue_comment", {"is_pull": False}),
        ("forgejo issue_comment", {"is_pull": None, "issue": {"number": 7}}),
        ("forgejo issue_comment", {"action": "deleted"}),
        ("gitlab Note Hook", {"object_attributes.noteable_type": "Issue"}),
        ("gitlab Note Hook", {"object_attributes.action": "update"}),
        (
            "bitbucket-cloud pullrequest:comment_created",
            {"pullrequest.source.repository": {"full_name": "fork/detector"}},
        ),
    ],
)
def test_edited_comments_issues_and_forks_without_a_ref_start_nothing(listener, event, changes):
    post(listener, *BY_EVENT[event].delivery(**changes))
    assert listener.process_pending() == []


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/test", Command.TEST),
        ("/hold", Command.HOLD),
        ("/hold cancel", Command.UNHOLD),
        ("/unhold", Command.UNHOLD),
        ("/test cancel", None),
        ("/Test", None),
        ("/", None),
        ("", None),
        ("\n/test", None),
    ],
)
def test_parse_knows_the_commands_and_nothing_else(text, command):
    assert parse(text) is command


def store_event(listener, document, *, authorization=f"Bearer {TOKEN}", **headers):
    sent = {"content-type": "application/json", "authorization": authorization, **headers}
    return post(listener, sent, json.dumps(document).encode())


def test_minios_notification_starts_one_task_with_its_records_and_stores_no_token(listener):
    document = minio(record(key="2026/a+b%2Fc.npz"))
    assert store_event(listener, document).json()["status"] == "stored"
    (event,) = listener.state.pending_events()
    assert TOKEN not in json.dumps(dict(event.headers))
    assert store_event(listener, document).json()["status"] == "duplicate"
    (name,) = listener.process_pending()
    params = params_of(listener, name)
    assert json.loads(params["records"]) == document["Records"]
    assert (params["bucket"], params["template"]) == ("training-data", "model")


def test_s3_records_come_as_a_cloudevent_too(listener):
    envelope = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "aws:s3", "ce-type": "t"}
    answer = store_event(listener, {"Records": [record(), record(key="b.npz")]}, **envelope)
    assert answer.json()["status"] == "stored"
    (name,) = listener.process_pending()
    assert len(json.loads(params_of(listener, name)["records"])) == 2


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Bearer ", f"Basic {TOKEN}"])
def test_a_notification_without_the_token_is_refused(listener, authorization):
    answer = store_event(listener, minio(record()), authorization=authorization)
    assert answer.status_code == 401
    assert listener.state.pending_events() == []


@pytest.mark.parametrize(
    "document", [S3_TEST_EVENT, minio(record("ObjectRemoved:Delete")), {"Records": []}], ids=str
)
def test_s3s_test_event_and_removed_objects_start_nothing(listener, document):
    assert store_event(listener, document).status_code == 202
    assert listener.process_pending() == []
