"""What the github, gitlab and bitbucket interceptors have in common: an event's type and a proof.

Tekton looks at the type first and at the proof then; the reasons are Tekton's own.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from touchstone.errors import TouchstoneError
from touchstone.events import signature
from touchstone.events.interceptors.interceptor import Passed, Request, Secrets, StoppedError
from touchstone.events.interceptors.params import SecretRef, by_name, secret_ref, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """One of the wanted event types, and sent by someone who holds the secret."""

    kind: ClassVar[str]
    EVENT: ClassVar[str]
    """The header that names the event's type."""
    PROOF: ClassVar[str]
    """The header that proves who sent it."""
    SIGNS: ClassVar[bool] = True
    """Whether the proof is a signature of the body."""

    secret: SecretRef | None
    event_types: tuple[str, ...] | None
    """None: every type."""

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> Self:
        """Raises ValueError where the params are not what Tekton defines."""
        return cls(**cls._common(by_name(params, ("secretRef", "eventTypes"), of=cls.kind)))

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """The webhook's secret."""
        return frozenset({self.secret} if self.secret else ())

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Check the event's type, then the proof."""
        event = request.header(self.EVENT)
        note = f"{self.EVENT}: {event or '(absent)'}"
        if self.event_types is not None and event not in self.event_types:
            raise StoppedError(
                f"event type {event} is not allowed",
                notes=(note, f"eventTypes: {', '.join(self.event_types)}"),
            )
        self.authenticate(request, secrets)
        proof = f"{self.PROOF} fits the secret" if self.secret else "no secretRef: unsigned"
        return Passed(notes=(note, proof))

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Check the proof alone."""
        if self.secret is None:
            return
        try:
            value = secrets(*self.secret)
            problem = self._problem(request, value)
        except (TouchstoneError, ValueError) as error:
            raise StoppedError(f"error getting secret: {error}") from error
        if problem:
            raise StoppedError(problem)

    def _problem(self, request: Request, secret: bytes) -> str:
        raise NotImplementedError

    @classmethod
    def _common(cls, params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "secret": secret_ref(params.get("secretRef")),
            "event_types": texts(params.get("eventTypes"), name="eventTypes"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab(Forge):
    """GitLab sends the secret itself, as X-Gitlab-Token."""

    kind: ClassVar[str] = "gitlab"
    EVENT: ClassVar[str] = "X-Gitlab-Event"
    PROOF: ClassVar[str] = "X-Gitlab-Token"
    SIGNS: ClassVar[bool] = False

    def _problem(self, request: Request, secret: bytes) -> str:
        if not secret:
            raise ValueError("got an empty webhook secret, expected at least one byte")
        header = request.header(self.PROOF)
        if not header:
            return f"no {self.PROOF} header set"
        matches = hmac.compare_digest(header.encode("utf-8", "replace"), secret)
        return "" if matches else "Invalid X-GitLab-Token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitbucket(Forge):
    """Bitbucket Cloud and Data Center sign the body, as X-Hub-Signature."""

    kind: ClassVar[str] = "bitbucket"
    EVENT: ClassVar[str] = "X-Event-Key"
    PROOF: ClassVar[str] = "X-Hub-Signature"

    def _problem(self, request: Request, secret: bytes) -> str:
        header = request.header(self.PROOF)
        found = signature.problem(header, request.raw, secret, name=self.PROOF)
        return f"error validating signature: {found}" if found and header else found
