"""What do Bitbucket Cloud's deliveries tell? All refs of a push at once, and no file of it."""

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
    first_line,
    items,
    needed,
    number,
    same,
    text,
)

EVENTS = {
    "repo:push": (PUSH, TAG),
    "pullrequest:created": (PULL_REQUEST,),
    "pullrequest:updated": (PULL_REQUEST,),
    "pullrequest:comment_created": (COMMENT,),
}
"""What each type of event may tell of."""

_REFS = {"branch": (PUSH, "refs/heads/"), "tag": (TAG, "refs/tags/")}


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where Bitbucket sends no such thing."""
    whose = Repository(
        name=needed(body, "repository", "full_name"),
        clone_url=f"{needed(body, 'repository', 'links', 'html', 'href')}.git",
        default_branch=text(body, "repository", "mainbranch", "name"),
    )
    if event == "repo:push":
        changes = items(body, "push", "changes")
        return [found for change in changes if (found := _pushed(change, whose))]
    pull = at(body, "pullrequest")
    name = needed(pull, "source", "branch", "name")
    about: dict[str, Any] = {
        "repository": whose,
        "name": name,
        "ref": f"refs/heads/{name}",
        "revision": needed(pull, "source", "commit", "hash"),  # twelve digits of it
        "number": number(pull, "id"),
        "fork": not same(at(pull, "source", "repository"), at(body, "repository"), "uuid"),
    }
    if event == "pullrequest:comment_created":
        return [
            Event(
                kind=COMMENT,
                **about,
                author=needed(body, "actor", "account_id"),
                text=first_line(text(body, "comment", "content", "raw")),
            )
        ]
    return [
        Event(
            kind=PULL_REQUEST,
            **about,
            words=text(pull, "title"),
            wordy="the title",
            into=needed(pull, "destination", "branch", "name"),
        )
    ]


def _pushed(change: Any, whose: Repository) -> Event | None:
    new = at(change, "new")
    what = new or at(change, "old")
    if (found := _REFS.get(text(what, "type"))) is None:
        return None
    kind, prefix = found
    name = needed(what, "name")
    return Event(
        kind=kind,
        repository=whose,
        name=name,
        ref=prefix + name,
        revision=needed(new, "target", "hash") if new else "",
        before=text(change, "old", "target", "hash"),
        words=text(new, "target", "message"),
        gone=not new,
    )
