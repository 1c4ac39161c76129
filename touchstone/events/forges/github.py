"""What do GitHub's deliveries tell, and those of the hook of the embedded platform?"""

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
    same,
    text,
)

EVENTS = {
    "push": (PUSH, TAG),
    "pull_request": (PULL_REQUEST,),
    "issue_comment": (COMMENT,),
    "pull_request_review_comment": (COMMENT,),
}
"""What each type of event may tell of."""

_MOST_COMMITS = 2048
_NEW_COMMITS = ("opened", "synchronize", "reopened")


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where GitHub sends no such thing."""
    if event == "push":
        return pushed(body, most=_MOST_COMMITS)
    if event == "pull_request":
        return [pulled(body, _NEW_COMMITS)]
    inline = at(body, "pull_request")
    which = number(body, "pull_request" if inline else "issue", "number")
    return [
        commented(
            body,
            which=which,
            revision=text(inline, "head", "sha"),
            name=text(inline, "head", "ref") or f"pull/{which}",
            here=bool(inline or at(body, "issue", "pull_request")),
        )
    ]


def pushed(body: Any, *, most: int = 0) -> list[Event]:
    """A push in the fields that Forgejo and Gitea have, too."""
    ref = needed(body, "ref")
    if (found := kind_of(ref)) is None:
        return []
    kind, name = found
    after = needed(body, "after")
    gone = at(body, "deleted") is True or not after.strip("0")
    # What a tag's push names may be the tag itself, an object of its own.
    revision = after if kind == PUSH else text(body, "head_commit", "id")
    # What a forced push took back is in no commit that it lists.
    forced = at(body, "forced") is True
    files = changed(items(body, "commits"), total=at(body, "total_commits"), most=most)
    return [
        Event(
            kind=kind,
            repository=of_repository(body),
            name=name,
            ref=ref,
            revision="" if gone else revision,
            before=text(body, "before"),
            words=text(body, "head_commit", "message"),
            files=None if forced else files,
            gone=gone,
        )
    ]


def pulled(body: Any, new_commits: tuple[str, ...]) -> Event:
    """A pull request in the fields that Forgejo and Gitea have, too."""
    action = needed(body, "action")
    head = at(body, "pull_request", "head")
    name = needed(head, "ref")
    return Event(
        kind=PULL_REQUEST,
        repository=of_repository(body),
        name=name,
        ref=f"refs/heads/{name}",
        revision=needed(head, "sha"),
        words=text(body, "pull_request", "title"),
        wordy="the title",
        idle="" if action in new_commits else f"the pull request has no new commits ({action})",
        # The fork of an account that is gone is null; one may be called as the repository was.
        fork=not same(at(head, "repo"), at(body, "repository"), "id"),
        into=needed(body, "pull_request", "base", "ref"),
        number=number(body, "number"),
    )


def commented(body: Any, *, which: str, revision: str, name: str, here: bool) -> Event:
    """A comment in the fields that Forgejo and Gitea have, too; `here`: on a pull request."""
    action = text(body, "action")
    idle = "" if action == "created" else f"the comment was {action or 'not created'}"
    return Event(
        kind=COMMENT,
        repository=of_repository(body),
        name=name,
        ref=f"refs/pull/{which}/head",
        revision=revision,
        idle=idle if here else "the comment is on no pull request",
        number=which,
        author=needed(body, "comment", "user", "login"),
        text=first_line(text(body, "comment", "body")),
    )


def of_repository(body: Any) -> Repository:
    """Whose event it is."""
    return Repository(
        name=needed(body, "repository", "full_name"),
        clone_url=needed(body, "repository", "clone_url"),
        default_branch=text(body, "repository", "default_branch"),
    )
