"""What forges send, in the shapes they publish: event header, body and the expected run."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.testclient import TestClient

from touchstone.errors import PlatformError
from touchstone.events import signature
from touchstone.events.listener import Listener
from touchstone.events.server import create_app

SHA = "0123456789abcdef0123456789abcdef01234567"
SECRETS = {
    ("touchstone-webhook", "token"): b"for github",
    ("touchstone-forgejo", "token"): b"for forgejo",
    ("touchstone-gitlab", "token"): b"for-gitlab",
    ("touchstone-bitbucket", "token"): b"for bitbucket",
    ("touchstone-object-store", "token"): b"for-the-object-store",
}


def secrets(name: str, key: str) -> bytes:
    """What the Secrets of `SECRETS` hold, as the listener asks for it."""
    try:
        return SECRETS[name, key]
    except KeyError:
        raise PlatformError(f"secret {name} has no key {key}") from None


def post(listener: Listener, headers: dict[str, str], body: bytes) -> httpx.Response:
    """A delivery to the listener's own app."""
    return TestClient(create_app(listener)).post("/", headers=headers, content=body)


@dataclass(frozen=True)
class Sample:
    """One delivery and what it starts."""

    forge: str
    event: str
    body: dict[str, Any]
    name: str
    branch: str
    url: str = "https://git.example.com/vision/Detector.git"
    started: dict[str, str] = field(default_factory=dict)
    """Params of the TaskRun start-run; empty where the trigger creates the PipelineRun itself."""

    @property
    def trigger(self) -> str:
        """The trigger that takes it."""
        for word, trigger in (
            ("comment", "comment"),
            ("pull", "pull-request"),
            ("merge", "pull-request"),
        ):
            if word in self.name:
                return trigger
        return "push-to-look-at" if self.started else "push"

    def delivery(self, **changes: Any) -> tuple[dict[str, str], bytes]:
        """Headers (names in lower case) and body; `changes` are dotted paths to new values."""
        document = copy.deepcopy(self.body)
        for path, value in changes.items():
            *parents, last = path.split(".")
            target: Any = document
            for name in parents:
                target = target[int(name) if name.isdigit() else name]
            target[int(last) if last.isdigit() else last] = value
        body = json.dumps(document, indent=1).encode()
        return HEADERS[self.forge](self.event, body), body


def _github(event: str, body: bytes) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-event": event,
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-hook-installation-target-type": "integration",
        "x-hub-signature-256": signature.sign(body, SECRETS["touchstone-webhook", "token"]),
    }


def _forgejo(event: str, body: bytes) -> dict[str, str]:
    signed = signature.sign(body, SECRETS["touchstone-forgejo", "token"])
    names = ("x-forgejo-event", "x-gitea-event", "x-gogs-event", "x-github-event")
    return {
        "content-type": "application/json",
        **dict.fromkeys(names, event),
        "x-forgejo-delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
        "x-forgejo-signature": signed.removeprefix("sha256="),
        "x-gitea-signature": signed.removeprefix("sha256="),
        "x-hub-signature-256": signed,
    }


def _gitlab(event: str, body: bytes) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "x-gitlab-event": event,
        "x-gitlab-instance": "https://git.example.com",
        "x-gitlab-event-uuid": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        "idempotency-key": "f5e57c9c-4f4f-4a3d-9ac5-4b2e6e0a8f51",
        "x-gitlab-token": SECRETS["touchstone-gitlab", "token"].decode(),
    }


def _bitbucket(event: str, body: bytes) -> dict[str, str]:
    return {
        "content-type": "application/json; charset=utf-8",
        "x-event-key": event,
        "x-request-uuid": "3fa2e6b1-2b4f-4b8e-9f15-6f5b5b4a7a10",
        "x-hub-signature": signature.sign(body, SECRETS["touchstone-bitbucket", "token"]),
    }


HEADERS = {
    "github": _github,
    "forgejo": _forgejo,
    "gitlab": _gitlab,
    "bitbucket-cloud": _bitbucket,
    "bitbucket-data-center": _bitbucket,
}

COMMIT = {
    "id": SHA,
    "message": "Train longer",
    "timestamp": "2026-11-24T10:00:00+01:00",
    "author": {"name": "Ada", "email": "ada@example.com"},
    "added": [],
    "modified": ["model.py", "README.md"],
    "removed": [],
}
REPOSITORY = {
    "id": 1296269,
    "name": "Detector",
    "full_name": "vision/Detector",
    "clone_url": "https://git.example.com/vision/Detector.git",
    "default_branch": "main",
}
PUSH = {
    "ref": "refs/heads/main",
    "before": "f" * 40,
    "after": SHA,
    "created": False,
    "deleted": False,
    "forced": False,
    "repository": REPOSITORY,
    "pusher": {"name": "ada", "email": "ada@example.com"},
    "sender": {"login": "ada", "id": 1},
    "head_commit": COMMIT,
    "commits": [COMMIT],
    "installation": {"id": 1234567},
}
PULL = {
    "action": "opened",
    "number": 7,
    "pull_request": {
        "number": 7,
        "title": "A better detector",
        "head": {"ref": "better", "sha": SHA, "repo": REPOSITORY},
        "base": {"ref": "main", "sha": "f" * 40, "repo": REPOSITORY},
    },
    "repository": REPOSITORY,
    "sender": {"login": "ada"},
}
PROJECT = {
    "id": 15,
    "name": "Detector",
    "path_with_namespace": "vision/Detector",
    "git_http_url": "https://git.example.com/vision/Detector.git",
    "default_branch": "main",
}
GITLAB_PUSH = {
    "object_kind": "push",
    "before": "f" * 40,
    "after": SHA,
    "ref": "refs/heads/main",
    "checkout_sha": SHA,
    "user_username": "ada",
    "project": PROJECT,
    "commits": [COMMIT],
    "total_commits_count": 1,
}
MERGE = {
    "object_kind": "merge_request",
    "user": {"username": "ada"},
    "project": PROJECT,
    "object_attributes": {
        "iid": 7,
        "action": "open",
        "source_branch": "better",
        "target_branch": "main",
        "source_project_id": 15,
        "target_project_id": 15,
        "last_commit": {"id": SHA, "message": "Train longer"},
    },
}
CLOUD_PUSH = {
    "actor": {"display_name": "Ada", "type": "user"},
    "repository": {
        "type": "repository",
        "name": "Detector",
        "full_name": "vision/detector",
        "links": {"html": {"href": "https://bitbucket.org/vision/detector"}},
    },
    "push": {
        "changes": [
            {"new": None, "old": {"type": "branch", "name": "gone"}, "closed": True},
            {
                "new": {
                    "type": "branch",
                    "name": "main",
                    "target": {"type": "commit", "hash": SHA, "message": "Train longer\n"},
                },
                "old": {"type": "branch", "name": "main", "target": {"hash": "f" * 40}},
                "forced": False,
            },
        ]
    },
}
CENTER_REPOSITORY = {
    "slug": "detector",
    "id": 84,
    "name": "Detector",
    "project": {"key": "VISION", "id": 1},
    "links": {
        "clone": [
            {"href": "ssh://git@bitbucket.example.com:7999/vision/detector.git", "name": "ssh"},
            {"href": "https://bitbucket.example.com/scm/vision/detector.git", "name": "http"},
        ]
    },
}
CENTER_PUSH = {
    "eventKey": "repo:refs_changed",
    "date": "2026-11-24T10:00:00+0100",
    "actor": {"name": "ada"},
    "repository": CENTER_REPOSITORY,
    "changes": [
        {
            "ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"},
            "refId": "refs/heads/main",
            "fromHash": "f" * 40,
            "toHash": SHA,
            "type": "UPDATE",
        }
    ],
    "toCommit": {"id": SHA, "message": "Train longer"},
}
CENTER_PULL = {
    "eventKey": "pr:opened",
    "date": "2026-11-24T10:00:00+0100",
    "actor": {"name": "ada"},
    "pullRequest": {
        "id": 7,
        "title": "A better detector",
        "fromRef": {"displayId": "better", "latestCommit": SHA, "repository": CENTER_REPOSITORY},
        "toRef": {"displayId": "main", "latestCommit": "f" * 40, "repository": CENTER_REPOSITORY},
    },
}
CLOUD_TAG = copy.deepcopy(CLOUD_PUSH)
CLOUD_TAG["push"]["changes"][1]["new"] |= {"type": "tag", "name": "v1.2"}
CLOUD_TAG["push"]["changes"][1]["old"] = None
CENTER_TAG = copy.deepcopy(CENTER_PUSH)
CENTER_TAG["changes"][0] |= {
    "ref": {"id": "refs/tags/v1.2", "displayId": "v1.2", "type": "TAG"},
    "refId": "refs/tags/v1.2",
    "fromHash": "0" * 40,
    "type": "ADD",
}
CLOUD_PULL = {
    "actor": {"display_name": "Ada", "account_id": "557058:ada", "nickname": "ada", "type": "user"},
    "repository": CLOUD_PUSH["repository"],
    "pullrequest": {
        "id": 7,
        "type": "pullrequest",
        "title": "A better detector",
        "state": "OPEN",
        "source": {
            "branch": {"name": "better"},
            "commit": {"type": "commit", "hash": SHA[:12]},
            "repository": {"type": "repository", "full_name": "vision/detector"},
        },
        "destination": {
            "branch": {"name": "main"},
            "commit": {"type": "commit", "hash": "f" * 12},
            "repository": {"type": "repository", "full_name": "vision/detector"},
        },
    },
}
CLOUD_URL = "https://bitbucket.org/vision/detector.git"
CENTER_URL = "https://bitbucket.example.com/scm/vision/detector.git"
TAG = {**PUSH, "ref": "refs/tags/v1.2", "after": "e" * 40, "commits": []}
SYNCHRONIZED = {**PULL, "action": "synchronized"}

SAMPLES = [
    Sample("github", "push", PUSH, "github-push", "main"),
    Sample("github", "push", TAG, "github-tag", "v1.2"),
    Sample(
        "github",
        "pull_request",
        PULL,
        "github-pull-request",
        "better",
        started={
            "template": "model-check",
            "ref": "refs/heads/better",
            "seen": SHA,
            "since": "refs/heads/main",
            "pull-request": "7",
            "target": "",
        },
    ),
    Sample("forgejo", "push", PUSH, "forgejo-push", "main"),
    Sample("forgejo", "push", TAG, "forgejo-tag", "v1.2"),
    Sample(
        "forgejo",
        "pull_request",
        SYNCHRONIZED,
        "forgejo-pull-request",
        "better",
        started={
            "template": "model-check",
            "ref": "refs/heads/better",
            "seen": SHA,
            "since": "refs/heads/main",
            "pull-request": "7",
            "target": "",
        },
    ),
    Sample("gitlab", "Push Hook", GITLAB_PUSH, "gitlab-push", "main"),
    Sample(
        "gitlab", "Tag Push Hook", {**GITLAB_PUSH, "ref": "refs/tags/v1.2"}, "gitlab-tag", "v1.2"
    ),
    Sample(
        "gitlab",
        "Merge Request Hook",
        MERGE,
        "gitlab-merge-request",
        "better",
        started={
            "template": "model-check",
            "ref": "refs/heads/better",
            "seen": SHA,
            "since": "refs/heads/main",
            "pull-request": "7",
            "target": "",
        },
    ),
    Sample(
        "bitbucket-cloud",
        "repo:push",
        CLOUD_PUSH,
        "bitbucket-cloud-push",
        "main",
        CLOUD_URL,
        {
            "template": "model",
            "ref": "refs/heads/main",
            "seen": SHA,
            "since": "f" * 40,
            "target": "main",
        },
    ),
    Sample(
        "bitbucket-cloud",
        "repo:push",
        CLOUD_TAG,
        "bitbucket-cloud-tag",
        "v1.2",
        CLOUD_URL,
    ),
    Sample(
        "bitbucket-cloud",
        "pullrequest:created",
        CLOUD_PULL,
        "bitbucket-cloud-pull-request",
        "better",
        CLOUD_URL,
        {
            "template": "model-check",
            "ref": "refs/heads/better",
            "seen": SHA[:12],
            "since": "refs/heads/main",
            "pull-request": "7",
            "target": "main",
        },
    ),
    Sample(
        "bitbucket-data-center",
        "repo:refs_changed",
        CENTER_PUSH,
        "bitbucket-data-center-push",
        "main",
        CENTER_URL,
        {
            "template": "model",
            "ref": "refs/heads/main",
            "seen": SHA,
            "since": "f" * 40,
            "target": "main",
        },
    ),
    Sample(
        "bitbucket-data-center",
        "repo:refs_changed",
        CENTER_TAG,
        "bitbucket-data-center-tag",
        "v1.2",
        CENTER_URL,
        {"template": "model", "ref": "refs/tags/v1.2", "seen": "", "ignore": ""},
    ),
    Sample(
        "bitbucket-data-center",
        "pr:opened",
        CENTER_PULL,
        "bitbucket-data-center-pull-request",
        "better",
        CENTER_URL,
        {
            "template": "model-check",
            "ref": "refs/heads/better",
            "seen": SHA,
            "since": "refs/heads/main",
            "pull-request": "7",
            "target": "main",
        },
    ),
]
BY_NAME = {sample.name: sample for sample in SAMPLES}
