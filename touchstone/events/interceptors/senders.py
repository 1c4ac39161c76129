"""Which forges are there, how does each prove itself, and who reads what it sends?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from touchstone.events.forges import (
    bitbucket_cloud,
    bitbucket_data_center,
    forgejo,
    github,
    gitlab,
)
from touchstone.events.forges.event import Event
from touchstone.events.interceptors.forge import Bitbucket, Forge, GitLab
from touchstone.events.interceptors.github import GitHub
from touchstone.events.interceptors.interceptor import Request

_KEY = "token"
_GITEA = ("x-forgejo-event", "x-gitea-event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One forge."""

    name: str
    """As people.yaml and the statuses call it."""
    check: type[Forge]
    held_in: str
    """The Secret that its webhooks are set up with, under the key `token`."""
    speech: ModuleType
    """Of touchstone.events.forges."""
    gitea: bool | None = None
    """Whether it names its events as Gitea does, too; None where that tells nothing."""

    @property
    def events(self) -> Mapping[str, tuple[str, ...]]:
        """The kinds of happenings that each of its types of events tells of."""
        events: Mapping[str, tuple[str, ...]] = self.speech.EVENTS
        return events

    @property
    def read(self) -> Callable[[str, Any], list[Event]]:
        """What a delivery tells."""
        read: Callable[[str, Any], list[Event]] = self.speech.read
        return read

    def proof(self, kinds: tuple[str, ...]) -> Forge:
        """What must hold for a delivery that tells of one of these kinds."""
        types = [name for name, told in self.events.items() if set(told) & set(kinds)]
        return self.check(secret=(self.held_in, _KEY), event_types=tuple(types))

    def spoke(self, request: Request) -> bool:
        """Whether the request names an event as this forge does. Nothing proves that."""
        if request.header(self.check.EVENT) not in self.events:
            return False
        return self.gitea is None or self.gitea == any(map(request.header, _GITEA))


SENDERS = (
    Sender(name="github", check=GitHub, held_in="touchstone-webhook", speech=github, gitea=False),
    Sender(name="forgejo", check=GitHub, held_in="touchstone-forgejo", speech=forgejo, gitea=True),
    Sender(name="gitlab", check=GitLab, held_in="touchstone-gitlab", speech=gitlab),
    Sender(
        name="bitbucket", check=Bitbucket, held_in="touchstone-bitbucket", speech=bitbucket_cloud
    ),
    Sender(
        name="bitbucket",
        check=Bitbucket,
        held_in="touchstone-bitbucket",
        speech=bitbucket_data_center,
    ),
)
"""Each with a proof of its own: what a request says of itself chooses which Secret it must fit."""
