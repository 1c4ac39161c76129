"""Comments on pull requests and notifications of object stores, in the shapes that are sent."""

from __future__ import annotations

from forge_samples import (
    CENTER_PULL,
    CENTER_URL,
    CLOUD_PULL,
    CLOUD_URL,
    PROJECT,
    PULL,
    REPOSITORY,
    SHA,
    Sample,
)

_COMMENT = {"id": 99, "body": "/test\r\nplease", "user": {"login": "ada", "id": 1, "type": "User"}}
GITHUB_COMMENT = {
    "action": "created",
    "issue": {
        "number": 7,
        "title": "A better detector",
        "state": "open",
        "user": {"login": "grace"},
        "pull_request": {"url": "https://api.github.com/repos/vision/Detector/pulls/7"},
    },
    "comment": {**_COMMENT, "author_association": "MEMBER"},
    "repository": REPOSITORY,
    "sender": {"login": "ada"},
}
GITHUB_REVIEW_COMMENT = {
    "action": "created",
    "comment": {**_COMMENT, "path": "model.py", "commit_id": SHA},
    "pull_request": PULL["pull_request"],
    "repository": REPOSITORY,
    "sender": {"login": "ada"},
}
FORGEJO_COMMENT = {
    "action": "created",
    "issue": {"number": 7, "title": "A better detector", "pull_request": {"merged": False}},
    "comment": _COMMENT,
    "repository": REPOSITORY,
    "sender": {"login": "ada"},
    "is_pull": True,
}
GITLAB_NOTE = {
    "object_kind": "note",
    "event_type": "note",
    "user": {"id": 1, "name": "Ada", "username": "ada"},
    "project_id": 15,
    "project": PROJECT,
    "object_attributes": {
        "id": 1244,
        "note": "/test",
        "noteable_type": "MergeRequest",
        "action": "create",
    },
    "merge_request": {
        "id": 7001,
        "iid": 7,
        "source_branch": "better",
        "target_branch": "main",
        "last_commit": {"id": SHA, "message": "Train longer"},
    },
}
CLOUD_COMMENT = {
    **CLOUD_PULL,
    "comment": {"id": 17, "content": {"raw": "/test", "markup": "markdown"}},
}
CENTER_COMMENT = {
    **CENTER_PULL,
    "eventKey": "pr:comment:added",
    "comment": {"id": 62, "version": 0, "text": "/test", "author": {"name": "ada"}},
}

_ABOUT = {"text": "/test", "pull-request": "7", "author": "ada", "branch": "better"}
COMMENTS = [
    Sample(
        "github",
        "issue_comment",
        GITHUB_COMMENT,
        "github-comment",
        "pull/7",
        started={**_ABOUT, "forge": "github", "ref": "refs/pull/7/head", "revision": "",
                 "branch": "pull/7"},
    ),
    Sample(
        "github",
        "pull_request_review_comment",
        GITHUB_REVIEW_COMMENT,
        "github-comment",
        "better",
        started={**_ABOUT, "forge": "github", "ref": "refs/pull/7/head", "revision": SHA,
                 "text": "/test"},
    ),
    Sample(
        "forgejo",
        "issue_comment",
        FORGEJO_COMMENT,
        "forgejo-comment",
        "pull/7",
        started={**_ABOUT, "forge": "forgejo", "ref": "refs/pull/7/head", "revision": "",
                 "branch": "pull/7"},
    ),
    Sample(
        "gitlab",
        "Note Hook",
        GITLAB_NOTE,
        "gitlab-comment",
        "better",
        started={**_ABOUT, "forge": "gitlab", "ref": "refs/merge-requests/7/head",
                 "revision": SHA},
    ),
    Sample(
        "bitbucket-cloud",
        "pullrequest:comment_created",
        CLOUD_COMMENT,
        "bitbucket-cloud-comment",
        "better",
        CLOUD_URL,
        {**_ABOUT, "forge": "bitbucket", "ref": "refs/heads/better", "revision": SHA[:12],
         "author": "557058:ada"},
    ),
    Sample(
        "bitbucket-data-center",
        "pr:comment:added",
        CENTER_COMMENT,
        "bitbucket-data-center-comment",
        "better",
        CENTER_URL,
        {**_ABOUT, "forge": "bitbucket", "ref": "refs/pull-requests/7/from", "revision": SHA},
    ),
]  # fmt: skip


def record(event: str = "ObjectCreated:Put", bucket: str = "training-data", key: str = "a.npz"):
    """One record of S3 in the fields of version 2.1, its key encoded as S3 does."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-24T09:00:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "new-data",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "sequencer": "0055AED6"},
        },
    }


def minio(*records):
    """What MinIO's webhook target posts."""
    first = records[0]
    key = f"{first['s3']['bucket']['name']}/{first['s3']['object']['key']}"
    changed = [
        {**r, "eventName": f"s3:{r['eventName']}", "eventSource": "minio:s3"} for r in records
    ]
    return {"EventName": changed[0]["eventName"], "Key": key, "Records": changed}


S3_TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-11-24T09:00:00.000Z",
    "Bucket": "training-data",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
}
