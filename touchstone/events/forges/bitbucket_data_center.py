"""What do Bitbucket Data Center's deliveries tell? All refs of a push, and no file."""

from __future__ import annotations

from typing import Any

from touchstone.events.forges.event import (
    COMMENT,
    PULL_REQUEST,
    PUSH,
    TAG,
    Event,
    Repository,
    UnreadableError,
    at,
    first_line,
    items,
    kind_of,
    needed,
    number,
    text,
)

EVENTS = {
    "repo:refs_changed": (PUSH, TAG),
    "pr:opened": (PULL_REQUEST,),
    "pr:from_ref_updated": (PULL_REQUEST,),
    "pr:comment:added": (COMMENT,),
}
"""What each type of event may tell of."""


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where Bitbucket sends no such thing."""
    if event == "repo:refs_changed":
        whose = _of_repository(at(body, "repository"))
        newest = at(body, "toCommit")
        changes = items(body, "changes")
        return [found for one in changes if (found := _pushed(one, newest, whose))]
    pull = at(body, "pullRequest")
    source, target = at(pull, "fromRef"), at(pull, "toRef")
    which = number(pull, "id")
    about: dict[str, Any] = {
        "repository": _of_repository(at(target, "repository")),
        "name": needed(source, "displayId"),
        "revision": needed(source, "latestCommit"),
        "number": which,
    }
    if event == "pr:comment:added":
        return [
            Event(
                kind=COMMENT,
                **about,
                ref=f"refs/pull-requests/{which}/from",
                author=needed(body, "actor", "name"),
                text=first_line(text(body, "comment", "text")),
            )
        ]
    return [
        Event(
            kind=PULL_REQUEST,
            **about,
            ref=f"refs/heads/{about['name']}",
            words=text(pull, "title"),
            wordy="the title",
            into=needed(target, "displayId"),
            fork=number(source, "repository", "id") != number(target, "repository", "id"),
        )
    ]


def _pushed(change: Any, newest: Any, whose: Repository) -> Event | None:
    ref = text(change, "ref", "id") or needed(change, "refId")
    if (found := kind_of(ref)) is None:
        return None
    kind, name = found
    commit = needed(change, "toHash")
    gone = at(change, "type") == "DELETE" or not commit.strip("0")
    return Event(
        kind=kind,
        repository=whose,
        name=name,
        ref=ref,
        # Of a tag it may be the tag itself, an object of its own.
        revision="" if gone or kind == TAG else commit,
        before=text(change, "fromHash"),
        words=text(newest, "message") if at(newest, "id") == commit else "",
        gone=gone,
    )


def _of_repository(repository: Any) -> Repository:
    places = [one for one in items(repository, "links", "clone") if at(one, "name") == "http"]
    if not places:
        raise UnreadableError("got a repository without an address to clone it from over HTTP")
    project, slug = needed(repository, "project", "key"), needed(repository, "slug")
    return Repository(name=f"{project}/{slug}", clone_url=needed(places[0], "href"))
