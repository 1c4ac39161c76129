"""Each forge's events through the real checks into a run; and what must start nothing."""

from __future__ import annotations

import json

import pytest
from forge_samples import BY_TRIGGER, SAMPLES, SECRETS, SHA, post, secrets

from touchstone.events.listener import Listener

README = {"added": [], "modified": ["README.md", "docs/a.png"], "removed": ["LICENSE"]}


@pytest.fixture
def listener(state, triggers):
    return Listener(state, triggers=triggers, secrets=secrets)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.trigger)
def test_an_event_starts_one_run_of_that_commit_by_its_own_trigger_alone(listener, sample):
    headers, body = sample.delivery()
    answer = post(listener, headers, body)
    assert (answer.status_code, answer.json()["status"]) == (202, "stored"), answer.text
    (name,) = listener.process_pending()
    run = listener.state.run(name).manifest
    params = {item["name"]: item["value"] for item in run["spec"]["params"]}
    assert run["metadata"]["labels"]["triggers.tekton.dev/trigger"] == sample.trigger
    assert params["repo-url"] == sample.url
    if sample.started:
        assert run["spec"]["taskRef"]["name"] == "start-run"
        assert params["branch"] == sample.branch
        assert sample.started.items() <= params.items()
        return
    assert run["metadata"]["annotations"]["touchstone.dev/branch"] == sample.branch
    assert params["revision"] == SHA
    assert params["image"].endswith("/detector:0123456")
    judged_only = "pull" in sample.trigger or "merge" in sample.trigger
    assert params.get("promote", "true") == ("false" if judged_only else "true")
    number = run["metadata"]["labels"].get("touchstone.dev/pull-request")
    assert number == ("7" if judged_only else None)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.trigger)
def test_the_same_delivery_again_is_a_duplicate(listener, sample):
    headers, body = sample.delivery()
    post(listener, headers, body)
    assert post(listener, headers, body).json()["status"] == "duplicate"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.trigger)
def test_a_wrong_or_absent_proof_is_refused_and_nothing_is_stored(listener, sample):
    headers, body = sample.delivery()
    proofs = [name for name in headers if "signature" in name or name == "x-gitlab-token"]
    forged = headers | dict.fromkeys(proofs, "sha256=" + "0" * 64)
    bare = {name: text for name, text in headers.items() if name not in proofs}
    for wrong in (forged, bare):
        assert post(listener, wrong, body).status_code == 401
    assert listener.state.pending_events() == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.trigger)
def test_no_secret_is_stored_and_the_stored_event_still_passes(listener, sample):
    post(listener, *sample.delivery())
    (event,) = listener.state.pending_events()
    stored = json.dumps(dict(event.headers)) + event.body.decode()
    assert not any(value.decode() in stored for value in SECRETS.values())
    assert sum(not found.reason for found in listener.explain(event)) == 1


@pytest.mark.parametrize(
    ("trigger", "changes"),
    [
        ("github-push", {"commits.0": README}),
        ("github-push", {"head_commit.message": "Typo [skip ci]"}),
        ("github-push", {"ref": "refs/heads/other"}),
        ("github-push", {"deleted": True, "head_commit": None, "commits": []}),
        ("github-tag", {"ref": "refs/tags/nightly"}),
        ("github-pull-request", {"action": "labeled"}),
        ("github-pull-request", {"pull_request.base.ref": "other"}),
        ("github-pull-request", {"pull_request.title": "Words [skip ci]"}),
        ("forgejo-pull-request", {"pull_request.base.ref": "other"}),
        ("gitlab-merge-request", {"object_attributes.target_branch": "other"}),
        ("gitlab-merge-request", {"object_attributes.last_commit.message": "[ci skip]"}),
        ("gitlab-tag", {"ref": "refs/tags/nightly"}),
        ("bitbucket-cloud-tag", {"push.changes.1.new.name": "nightly"}),
        ("bitbucket-cloud-tag", {"push.changes.1.new": None}),
        ("bitbucket-cloud-pull-request", {"pullrequest.destination.branch.name": "other"}),
        ("bitbucket-cloud-pull-request", {"pullrequest.title": "[skip ci] Words"}),
        (
            "bitbucket-cloud-pull-request",
            {"pullrequest.source.repository": {"full_name": "fork/detector"}},
        ),
        ("bitbucket-data-center-tag", {"changes.0.ref.displayId": "nightly"}),
        ("bitbucket-data-center-tag", {"changes.0.type": "DELETE"}),
        ("bitbucket-data-center-pull-request", {"pullRequest.toRef.displayId": "other"}),
        ("bitbucket-data-center-pull-request", {"pullRequest.title": "[skip ci]"}),
        ("github-pull-request", {"pull_request.head.repo": {"full_name": "fork/Detector"}}),
        ("forgejo-push", {"commits.0": README}),
        ("forgejo-push", {"head_commit.message": "[ci skip]"}),
        ("forgejo-pull-request", {"pull_request.head.repo": {"full_name": "fork/Detector"}}),
        ("gitlab-push", {"commits.0": {**README, "id": SHA, "message": "Words"}}),
        ("gitlab-push", {"commits.0.message": "[skip ci]"}),
        ("gitlab-push", {"ref": "refs/heads/other"}),
        ("gitlab-push", {"checkout_sha": None}),
        ("gitlab-merge-request", {"object_attributes.source_project_id": 99}),
        ("gitlab-merge-request", {"object_attributes.action": "update"}),
        ("gitlab-merge-request", {"object_attributes.action": "close"}),
        ("bitbucket-cloud-push", {"push.changes.1.new.name": "other"}),
        ("bitbucket-cloud-push", {"push.changes.1.new.target.message": "x [skip ci]"}),
        ("bitbucket-data-center-push", {"changes.0.type": "DELETE"}),
        ("bitbucket-data-center-push", {"toCommit.message": "x [skip ci]"}),
        (
            "bitbucket-data-center-pull-request",
            {"pullRequest.fromRef.repository": {"id": 99}},
        ),
    ],
)
def test_what_the_filters_leave_out_starts_nothing_and_says_which_filter(
    listener, trigger, changes
):
    answer = post(listener, *BY_TRIGGER[trigger].delivery(**changes))
    assert answer.status_code == 202
    (event,) = listener.state.pending_events()
    (found,) = [item for item in listener.explain(event) if item.trigger == trigger]
    assert "did not return true" in found.reason
    assert listener.process_pending() == []


@pytest.mark.parametrize(
    "files", [["README.md", "model.py"], ["docs.py"], ["touchstone.yaml"], []], ids=str
)
def test_a_push_that_changes_more_than_documents_or_lists_no_files_starts_a_run(listener, files):
    commit = {"added": files, "modified": [], "removed": []}
    post(listener, *BY_TRIGGER["github-push"].delivery(**{"commits.0": commit}))
    assert len(listener.process_pending()) == 1


def test_a_captured_signature_finds_no_second_run_as_a_cloudevent_of_another_id(listener):
    headers, body = BY_TRIGGER["github-push"].delivery()
    post(listener, headers, body)
    envelope = {"ce-specversion": "1.0", "ce-id": "2", "ce-source": "/x", "ce-type": "t"}
    assert post(listener, headers | envelope, body).json()["status"] == "duplicate"


def test_a_reference_to_a_secret_cannot_be_written_by_the_sender(listener):
    headers, body = BY_TRIGGER["github-push"].delivery()
    forged = {"x-gitlab-token": '{"x": [["touchstone-gitlab", "token"]]}', "x-gitlab-event": "x"}
    assert post(listener, headers | forged, body).status_code == 202
    (event,) = listener.state.pending_events()
    assert "x-gitlab-token" not in json.dumps(dict(event.headers))
