"""What do GitLab's deliveries tell? Of a push twenty commits, of a renamed file its new name."""

from __future__ import annotations

from typing import Any

from touchstone.events.forges.event import (
    COMMENT,
    PULL_REQUEST,
    PUSH,
    TAG,
    Event,
    Repository,
    at,
    changed,
    first_line,
    items,
    kind_of,
    needed,
    number,
    text,
)

EVENTS = {
    "Push Hook": (PUSH,),
    "Tag Push Hook": (TAG,),
    "Merge Request Hook": (PULL_REQUEST,),
    "Note Hook": (COMMENT,),
}
"""What each type of event may tell of."""


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where GitLab sends no such thing."""
    if event in ("Push Hook", "Tag Push Hook"):
        return _pushed(body)
    about = at(body, "object_attributes")
    return [_merged(body, about) if event == "Merge Request Hook" else _noted(body, about)]


def _pushed(body: Any) -> list[Event]:
    ref = needed(body, "ref")
    if (found := kind_of(ref)) is None:
        return []
    kind, name = found
    after = text(body, "after")
    gone = bool(after) and not after.strip("0")
    # What a tag's push names may be the tag itself, an object of its own.
    commit = text(body, "checkout_sha") or ("" if kind == TAG else after)
    listed = items(body, "commits")
    newest = next((one for one in listed if at(one, "id") == commit), None)
    files = changed(listed, total=at(body, "total_commits_count"))
    return [
        Event(
            kind=kind,
            repository=_of_project(body),
            name=name,
            ref=ref,
            revision="" if gone else commit,
            before=text(body, "before"),
            words=text(newest, "message"),
            files=files,
            moved=any(items(one, "added") for one in listed),  # so GitLab tells of renamed ones
            gone=gone,
        )
    ]


def _merged(body: Any, about: Any) -> Event:
    action = text(about, "action")
    # An update with oldrev brings commits; without, it changes words, labels or people.
    new = action in ("open", "reopen") or (action == "update" and at(about, "oldrev") is not None)
    name = needed(about, "source_branch")
    return Event(
        kind=PULL_REQUEST,
        repository=_of_project(body),
        name=name,
        ref=f"refs/heads/{name}",
        revision=needed(about, "last_commit", "id"),
        words=text(about, "last_commit", "message"),
        idle="" if new else f"the merge request has no new commits ({action or 'no action'})",
        fork=number(about, "source_project_id") != number(about, "target_project_id"),
        into=needed(about, "target_branch"),
        number=number(about, "iid"),
    )


def _noted(body: Any, about: Any) -> Event:
    merge = at(body, "merge_request")
    action = at(about, "action") or "create"
    here = at(about, "noteable_type") == "MergeRequest" and merge is not None
    which = number(merge, "iid") if here else ""
    idle = "" if action == "create" else "the comment was edited"
    return Event(
        kind=COMMENT,
        repository=_of_project(body),
        name=text(merge, "source_branch"),
        ref=f"refs/merge-requests/{which}/head",
        revision=text(merge, "last_commit", "id"),
        idle=idle if here else "the comment is on no merge request",
        number=which,
        author=needed(body, "user", "username"),
        text=first_line(text(about, "note")),
    )


def _of_project(body: Any) -> Repository:
    return Repository(
        name=needed(body, "project", "path_with_namespace"),  # project.name is free text
        clone_url=needed(body, "project", "git_http_url"),
        default_branch=text(body, "project", "default_branch"),
    )
