"""What do the deliveries of Forgejo and Gitea tell? GitHub's fields, of a push five commits."""

from __future__ import annotations

from typing import Any

from touchstone.events.forges.event import COMMENT, PULL_REQUEST, PUSH, TAG, Event, at, number, text
from touchstone.events.forges.github import commented, pulled, pushed

EVENTS = {"push": (PUSH, TAG), "pull_request": (PULL_REQUEST,), "issue_comment": (COMMENT,)}
"""What each type of event may tell of."""

_MOST_COMMITS = 5
_NEW_COMMITS = ("opened", "synchronized", "reopened")


def read(event: str, body: Any) -> list[Event]:
    """What the delivery tells. Raises UnreadableError where neither sends such a thing."""
    if event == "push":
        # How many there are, older ones do not say.
        return pushed(body, most=_MOST_COMMITS if at(body, "total_commits") is None else 0)
    if event == "pull_request":
        return [pulled(body, _NEW_COMMITS)]
    pull = at(body, "is_pull")
    which = number(body, "issue", "number")
    return [
        commented(
            body,
            which=which,
            revision=text(body, "pull_request", "head", "sha"),
            name=f"pull/{which}",
            # Older ones say it of the issue alone.
            here=bool(at(body, "issue", "pull_request") if pull is None else pull),
        )
    ]
