"""Each forge's events through the real checks into a run; and what must start nothing."""

from __future__ import annotations

import json

import pytest
from forge_samples import (
    BY_NAME,
    CLOUD_PUSH,
    CLOUD_TAG,
    REPOSITORY,
    SAMPLES,
    SECRETS,
    SHA,
    post,
    secrets,
)

from touchstone.events.listener import Listener

README = {"added": [], "modified": ["README.md", "docs/a.png"], "removed": ["LICENSE"]}


@pytest.fixture
def listener(state, triggers):
    return Listener(state, triggers=triggers, secrets=secrets)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
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
    assert params.get("promote", "true") == "true"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_same_delivery_again_is_a_duplicate(listener, sample):
    headers, body = sample.delivery()
    post(listener, headers, body)
    assert post(listener, headers, body).json()["status"] == "duplicate"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_wrong_or_absent_proof_is_refused_and_nothing_is_stored(listener, sample):
    headers, body = sample.delivery()
    proofs = [name for name in headers if "signature" in name or name == "x-gitlab-token"]
    forged = headers | dict.fromkeys(proofs, "sha256=" + "0" * 64)
    bare = {name: text for name, text in headers.items() if name not in proofs}
    for wrong in (forged, bare):
        assert post(listener, wrong, body).status_code == 401
    assert listener.state.pending_events() == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_no_secret_is_stored_and_the_stored_event_still_passes(listener, sample):
    post(listener, *sample.delivery())
    (event,) = listener.state.pending_events()
    stored = json.dumps(dict(event.headers)) + event.body.decode()
    assert not any(value.decode() in stored for value in SECRETS.values())
    assert sum(not found.reason for found in listener.explain(event)) == 1


ONLY = "only the default branch, main, starts a run, and this was a push to other"
INTO = "only a pull request into the default branch, main, starts a run, and this was into other"
DOCUMENTS = "only documents changed: LICENSE, README.md, docs/a.png"
FORK = "a fork's pull request: its code is a stranger's"
TAGS = "only tags like ^v[0-9] start a run, and this was nightly"
TITLE = "[skip ci] in the title"
MESSAGE = "[skip ci] in the newest commit's message"


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("github-push", {"commits.0": README}, DOCUMENTS),
        ("github-push", {"head_commit.message": "Typo [skip ci]"}, MESSAGE),
        ("github-push", {"ref": "refs/heads/other"}, ONLY),
        (
            "github-push",
            {"repository.default_branch": "trunk"},
            "only the default branch, trunk, starts a run, and this was a push to main",
        ),
        (
            "github-push",
            {"ref": "refs/heads/feature/main"},
            "only the default branch, main, starts a run, and this was a push to feature/main",
        ),
        (
            "github-push",
            {"deleted": True, "after": "0" * 40, "head_commit": None, "commits": []},
            "the branch main was deleted",
        ),
        ("github-push", {"ref": None}, "got a delivery without ref"),
        ("github-push", {"repository.clone_url": None}, "without repository.clone_url"),
        ("github-push", {"after": "main"}, "got the commit 'main'"),
        ("github-tag", {"ref": "refs/tags/nightly"}, TAGS),
        ("github-tag", {"deleted": True, "head_commit": None}, "the tag v1.2 was deleted"),
        ("github-pull-request", {"action": "labeled"}, "no new commits (labeled)"),
        ("github-pull-request", {"pull_request.base.ref": "other"}, INTO),
        ("github-pull-request", {"pull_request.title": "Words [skip ci]"}, TITLE),
        ("github-pull-request", {"pull_request.head.repo": {"full_name": "f/Detector"}}, FORK),
        ("github-pull-request", {"pull_request.head.repo": None}, FORK),
        ("github-pull-request", {"pull_request.head.repo": REPOSITORY | {"id": 99}}, FORK),
        ("github-pull-request", {"number": "7/head"}, "without the number number"),
        ("github-pull-request", {"number": -7}, "got the pull request '-7'"),
        ("forgejo-pull-request", {"pull_request.base.ref": "other"}, INTO),
        ("forgejo-pull-request", {"pull_request.head.repo": {"full_name": "f/Detector"}}, FORK),
        ("forgejo-push", {"commits.0": README}, DOCUMENTS),
        ("forgejo-push", {"head_commit.message": "[ci skip]"}, "[ci skip] in the newest"),
        ("gitlab-merge-request", {"object_attributes.target_branch": "other"}, INTO),
        (
            "gitlab-merge-request",
            {"object_attributes.last_commit.message": "[ci skip]"},
            "[ci skip] in the newest commit's message",
        ),
        ("gitlab-merge-request", {"object_attributes.source_project_id": 99}, FORK),
        ("gitlab-merge-request", {"object_attributes.action": "update"}, "no new commits"),
        ("gitlab-merge-request", {"object_attributes.action": "close"}, "no new commits (close)"),
        ("gitlab-tag", {"ref": "refs/tags/nightly"}, TAGS),
        (
            "gitlab-tag",
            {"checkout_sha": None, "after": "0" * 40},
            "the tag v1.2 was deleted",
        ),
        ("gitlab-push", {"commits.0": {**README, "id": SHA, "message": "Words"}}, DOCUMENTS),
        ("gitlab-push", {"commits.0.message": "[skip ci]"}, MESSAGE),
        ("gitlab-push", {"ref": "refs/heads/other"}, ONLY),
        ("gitlab-push", {"checkout_sha": None, "after": "0" * 40}, "the branch main was deleted"),
        ("bitbucket-cloud-tag", {"push.changes.1.new.name": "nightly"}, TAGS),
        ("bitbucket-cloud-tag", {"push.changes.1.new": None}, "the branch gone was deleted"),
        (
            "bitbucket-cloud-pull-request",
            {"repository.mainbranch": {"name": "other"}},
            "this was into main",
        ),
        ("bitbucket-cloud-pull-request", {"pullrequest.title": "[skip ci] Words"}, TITLE),
        (
            "bitbucket-cloud-pull-request",
            {"pullrequest.source.repository": {"full_name": "fork/detector"}},
            FORK,
        ),
        ("bitbucket-cloud-pull-request", {"pullrequest.source.repository": None}, FORK),
        (
            "bitbucket-cloud-pull-request",
            {"pullrequest.source.repository": {"full_name": "vision/detector", "uuid": "{9}"}},
            FORK,
        ),
        ("bitbucket-cloud-push", {"push.changes.1.new.target.message": "x [skip ci]"}, MESSAGE),
        ("bitbucket-data-center-tag", {"changes.0.ref.id": "refs/tags/nightly"}, TAGS),
        ("bitbucket-data-center-tag", {"changes.0.type": "DELETE"}, "the tag v1.2 was deleted"),
        ("bitbucket-data-center-pull-request", {"pullRequest.title": "[skip ci]"}, TITLE),
        ("bitbucket-data-center-push", {"changes.0.type": "DELETE"}, "main was deleted"),
        ("bitbucket-data-center-push", {"toCommit.message": "x [skip ci]"}, MESSAGE),
        (
            "bitbucket-data-center-pull-request",
            {"pullRequest.fromRef.repository": {"id": 99}},
            FORK,
        ),
    ],
)
def test_what_starts_nothing_says_why_in_one_sentence(listener, name, changes, sentence):
    answer = post(listener, *BY_NAME[name].delivery(**changes))
    assert answer.status_code == 202
    (event,) = listener.state.pending_events()
    outcome = listener.process(event).outcome
    assert sentence in outcome
    assert outcome.count("nothing started") == 1
    assert listener.process_pending() == []


UNSAID = {"repository": {key: REPOSITORY[key] for key in ("name", "full_name", "clone_url")}}
BACK = {"commits.0": README, "forced": True}
MORE = {"commits.0": README, "total_commits": 6}


@pytest.mark.parametrize(
    ("name", "changes", "asked"),
    [
        ("github-push", UNSAID, {"target": "main", "since": "f" * 40, "seen": SHA}),
        ("github-push", BACK, {"target": "", "since": "f" * 40, "seen": SHA}),
        ("github-push", MORE, {"since": "f" * 40}),
        ("github-push", {"commits": [README] * 2048}, {"since": "f" * 40}),
        ("github-push", {"commits": []}, {"since": "f" * 40}),
        ("github-push", {"commits": None}, {"since": "f" * 40}),
        ("forgejo-push", MORE, {"since": "f" * 40}),
        ("forgejo-push", {"commits.0": dict.fromkeys(README)}, {"since": "f" * 40}),
        ("gitlab-push", {"commits.0": README, "total_commits_count": 25}, {"since": "f" * 40}),
        # A renamed file is told as an added one: model.py may have been the former name.
        ("gitlab-push", {"commits.0": README | {"added": ["docs/model"]}}, {"target": ""}),
        ("forgejo-push", {"commits": [README] * 5, "total_commits": None}, {"since": "f" * 40}),
        ("gitlab-tag", {"checkout_sha": None}, {"ref": "refs/tags/v1.2", "seen": "", "since": ""}),
        ("github-tag", {"head_commit": None}, {"ref": "refs/tags/v1.2", "seen": "", "since": ""}),
        ("bitbucket-cloud-push", {"push.changes.1.new.name": "other"}, {"target": "other"}),
    ],
)
def test_what_a_delivery_leaves_open_is_asked_of_git(listener, name, changes, asked):
    post(listener, *BY_NAME[name].delivery(**changes))
    (made,) = listener.process_pending()
    run = listener.state.run(made).manifest
    assert run["spec"]["taskRef"]["name"] == "start-run"
    params = {item["name"]: item["value"] for item in run["spec"]["params"]}
    assert asked.items() <= params.items()


@pytest.mark.parametrize("name", ["github-push", "forgejo-push"])
def test_the_default_branch_is_the_one_that_the_payload_names(listener, name):
    changes = {"repository.default_branch": "master", "ref": "refs/heads/master"}
    post(listener, *BY_NAME[name].delivery(**changes))
    (made,) = listener.process_pending()
    run = listener.state.run(made).manifest
    assert run["metadata"]["annotations"]["touchstone.dev/branch"] == "master"
    assert run["spec"]["pipelineRef"] == {"name": "model"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # GitLab once named no commit beside `after`.
        ("gitlab-push", {"checkout_sha": None}),
        # Of a new branch the commits that are on another one are not listed.
        ("github-push", {"before": "0" * 40, "commits.0": README}),
    ],
)
def test_a_push_starts_a_run_also_where_little_is_said_of_it(listener, name, changes):
    post(listener, *BY_NAME[name].delivery(**changes))
    (made,) = listener.process_pending()
    params = listener.state.run(made).manifest["spec"]["params"]
    assert {"name": "revision", "value": SHA} in params


@pytest.mark.parametrize("name", ["github-tag", "forgejo-tag", "gitlab-tag"])
def test_a_tag_with_a_slash_keeps_its_name(listener, name):
    post(listener, *BY_NAME[name].delivery(ref="refs/tags/v1.0/rc"))
    (made,) = listener.process_pending()
    annotations = listener.state.run(made).manifest["metadata"]["annotations"]
    assert annotations["touchstone.dev/branch"] == "v1.0/rc"


def test_a_pushed_branch_and_two_tags_are_looked_at_one_by_one(listener):
    change = CLOUD_TAG["push"]["changes"][1]
    second = {**change, "new": {**change["new"], "name": "v1.3"}}
    changes = [CLOUD_PUSH["push"]["changes"][1], change, second]
    post(listener, *BY_NAME["bitbucket-cloud-tag"].delivery(**{"push.changes": changes}))
    (made,) = listener.process_pending()
    spec = listener.state.run(made).manifest["spec"]
    params = {item["name"]: item["value"] for item in spec["params"]}
    assert (params["ref"], params["target"]) == ("refs/heads/main", "main")
    further = json.loads(params["further"])
    assert [item["ref"] for item in further] == ["refs/tags/v1.2", "refs/tags/v1.3"]
    assert {item["target"] + item["ignore"] + item["since"] for item in further} == {""}


def test_a_push_of_all_tags_starts_no_run_for_each(listener):
    change = CLOUD_TAG["push"]["changes"][1]
    tags = [{**change, "new": {**change["new"], "name": f"v{number}"}} for number in range(11)]
    post(listener, *BY_NAME["bitbucket-cloud-tag"].delivery(**{"push.changes": tags}))
    (event,) = listener.state.pending_events()
    assert "11 branches and tags were pushed at once" in listener.process(event).outcome
    assert listener.process_pending() == []


def test_a_project_is_called_by_its_path_and_not_by_its_title(listener):
    changes = {"project.name": "Risk Model (v2), Köln", "project.path_with_namespace": "t/risk-v2"}
    post(listener, *BY_NAME["gitlab-push"].delivery(**changes))
    (made,) = listener.process_pending()
    spec = listener.state.run(made).manifest["spec"]
    params = {item["name"]: item["value"] for item in spec["params"]}
    assert params["image"].endswith("/risk-v2:0123456")


@pytest.mark.parametrize(
    "files", [["README.md", "model.py"], ["docs.py"], ["touchstone.yaml"], []], ids=str
)
def test_a_push_that_changes_more_than_documents_or_lists_no_files_starts_a_run(listener, files):
    commit = {"added": files, "modified": [], "removed": []}
    post(listener, *BY_NAME["github-push"].delivery(**{"commits.0": commit}))
    assert len(listener.process_pending()) == 1


def test_a_captured_signature_finds_no_second_run_as_a_cloudevent_of_another_id(listener):
    headers, body = BY_NAME["github-push"].delivery()
    post(listener, headers, body)
    envelope = {"ce-specversion": "1.0", "ce-id": "2", "ce-source": "/x", "ce-type": "t"}
    assert post(listener, headers | envelope, body).json()["status"] == "duplicate"


def test_a_reference_to_a_secret_cannot_be_written_by_the_sender(listener):
    headers, body = BY_NAME["github-push"].delivery()
    forged = {"x-gitlab-token": '{"x": [["touchstone-gitlab", "token"]]}', "x-gitlab-event": "x"}
    assert post(listener, headers | forged, body).status_code == 202
    (event,) = listener.state.pending_events()
    assert "x-gitlab-token" not in json.dumps(dict(event.headers))
