"""What every interceptor is given and gives back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import parse_qs

from touchstone.events.headers import first, lists

Secrets = Callable[[str, str], bytes]
"""(Secret's name, key) to its value; raises touchstone.errors.PlatformError where it is absent."""


FORM = "application/x-www-form-urlencoded"


class StoppedError(Exception):
    """The interceptor lets the event go no further; the message says why, in Tekton's words."""

    def __init__(self, message: str, *, notes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.notes = notes


class UnwantedError(StoppedError):
    """The event is understood and starts nothing; the message is a sentence for people."""


class ElsewhereError(StoppedError):
    """The event is one that other triggers are for; there is nothing to say of it here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One event on its way through a trigger."""

    headers: Mapping[str, str]
    """Names in lower case; see touchstone.events.headers."""
    raw: bytes
    url: str
    """Path and query that it was sent to, as Tekton's `requestURL`."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    event_id: str = ""
    trigger: str = ""
    """`namespaces/<namespace>/triggers/<name>`."""

    @property
    def body(self) -> Any:
        """The JSON document in the body; an empty body is an empty object.

        Raises:
            StoppedError: it is not JSON.
        """
        try:
            return _whole(json.loads(self.raw, parse_int=_number)) if self.raw else {}
        except (ValueError, RecursionError) as error:
            raise StoppedError(f"failed to parse the body as JSON: {error}") from None

    def with_form_as_json(self) -> Request:
        """Itself, a form of several fields as the JSON that interceptors get."""
        if self.header("content-type") != FORM:
            return self
        fields = parse_qs(self.raw.decode("utf-8", "replace"), keep_blank_values=True)
        return replace(self, raw=json.dumps(fields).encode()) if len(fields) > 1 else self

    def header(self, name: str) -> str:
        """The header's first value, or an empty string. `name` in any case."""
        return first(self.headers, name)

    def header_lists(self) -> dict[str, list[str]]:
        """Go's http.Header: canonical names, each with its list of values."""
        return lists(self.headers)


def _whole(document: Any) -> Any:
    """Without halves of characters, which JSON can write and no file or database holds: as Go."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        text = json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(text.decode("utf-16", "replace"))
    return document


def _number(text: str) -> int | float:
    """As Go holds it, which knows doubles alone: whole numbers beyond 2^53 lose digits."""
    return int(text) if len(text) < _EXACT else float(text)


_EXACT = 16
"""Digits, with a sign, of which a double holds every number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The event goes on."""

    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Added to the event's, those of the same name replaced."""
    notes: tuple[str, ...] = ()
    """What was looked at and found, for `touchstone replay`; never a secret."""
    headers: Mapping[str, str] | None = None
    raw: bytes | None = None
    """In place of the event's, where the interceptor rewrites it (the old webhook form alone)."""


class Interceptor(Protocol):
    """One link of a trigger's chain."""

    @property
    def kind(self) -> str:
        """`github`, `cel`, …, for messages."""
        ...

    @property
    def secrets_used(self) -> frozenset[tuple[str, str]]:
        """(name, key) of the secrets that prove who sent the event; empty where it proves none."""
        ...

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Let the event go on.

        Raises:
            StoppedError: the event is not for this trigger.
        """
        ...

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Check only who sent it, for the listener's answer; nothing where there are no secrets.

        Raises:
            StoppedError: the sender does not hold the secret.
        """
        ...
