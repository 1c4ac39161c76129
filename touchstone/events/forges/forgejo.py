"""What do the deliveries of Forgejo and Gitea tell? GitHub's fields, of a push five commits."""

from __future__ import annotations

from typing import Any

from touchstone.events.forges.event import COMMENT, PULL_REQUEST, PUSH, TAG, Event, at, number, text
from touchstone.events.forges.github import commented, pulled, pushed

EVENTS = {"push": (PUSH, TAG), "pull_request": (PULL_REQUEST,), "issue_comment": (COMMENT,)}
"""What each type of event may tell of."""

_NEW_COMMITS = ("opened", "synchronized", "reopened")


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where neither sends such a thing."""
    if event == "push":
        return pushed(body)
    if event == "pull_request":
        return [pulled(body, _NEW_COMMITS)]
    which = number(body, "issue", "number")
    return [
        commented(
            body,
            which=which,
            revision=text(body, "pull_request", "head", "sha"),
            name=f"pull/{which}",
            here=at(body, "is_pull") is True,
        )
    ]
