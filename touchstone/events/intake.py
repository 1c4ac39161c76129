"""Is this request an event that may be stored, and which one? Everything before the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.events import cloud_events, credentials, identity, signature
from touchstone.events.headers import first
from touchstone.events.interceptors.delivery import Delivery
from touchstone.events.interceptors.forge import Forge
from touchstone.events.interceptors.interceptor import (
    FORM,
    Interceptor,
    Request,
    Secrets,
    StoppedError,
)
from touchstone.events.interceptors.params import SecretRef
from touchstone.events.interceptors.senders import SENDERS
from touchstone.events.triggers import Trigger, Triggers

_JSON = ("application/json", "application/cloudevents+json")
_PINGS = ("ping", "diagnostics:ping")
_SIGNED = {sender.check.PROOF for sender in SENDERS if sender.check.SIGNS} | {*signature.BARE}

_DEEPEST = 100
"""Levels of a body; payloads of forges have fewer than ten."""

_TOO_DEEP = f"it is nested too deeply, expected at most {_DEEPEST} levels"


class RefusedError(Exception):
    """The request is answered with `status` and nothing is stored."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An event to store."""

    source: str
    event_id: str
    among: tuple[str, ...]
    """Sources of which one that has this id makes it a duplicate, besides its own."""
    headers: dict[str, str]
    """Without any secret; see touchstone.events.credentials."""
    ping: bool
    """Only a forge that tries the address; nothing to store."""
    proved: bool
    """A secret of a trigger proves who sent it."""


def accept(
    listener: Triggers, headers: Mapping[str, str], body: bytes, *, url: str, secrets: Secrets
) -> Accepted:
    """Verify a request; header names are in lower case.

    Raises:
        RefusedError: with the HTTP status and the reason.
    """
    among: tuple[str, ...] = ()
    cloud_event = cloud_events.is_cloud_event(headers)
    request = Request(headers=headers, raw=body, url=url)
    if cloud_event and not any(first(headers, name) for name in _SIGNED):
        proved = _proved(listener, request, secrets, check=False)
        if not proved and all(trigger.secrets_used for trigger in listener.triggers):
            raise RefusedError(422, "got a CloudEvent, expected a webhook: no trigger takes it")
        _object(listener, headers, body)
        try:
            source, event_id = identity.of_cloud_event(headers, body)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        ping = False
    else:
        proved = _proved(listener, request, secrets, check=True)
        event = identity.event_type(headers)
        ping = event in _PINGS
        if not ping:
            _wanted(proved, event)
        _object(listener, headers, body)
        signed = any(forge.SIGNS and forge.secret for item in proved for forge in item.by)
        source, event_id = identity.of_webhook(headers, body, signed=signed)
        among = identity.WEBHOOKS
    known = {secret for trigger in listener.triggers for secret in trigger.secrets_used}
    stored = credentials.seal(headers, known, secrets)
    return Accepted(
        source=source,
        event_id=event_id,
        among=among,
        headers=stored,
        ping=ping,
        proved=bool(proved),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proved:
    """A trigger whose secrets prove the sender."""

    trigger: Trigger
    by: tuple[Forge, ...]
    """The forges' checks that hold; none where expressions prove the sender."""


def _proved(
    listener: Triggers, request: Request, secrets: Secrets, *, check: bool
) -> list[_Proved]:
    """The triggers whose secrets prove the sender; with `check`, at least one or refused.

    What a stranger's request costs is bounded: each secret signs the body once, however many
    triggers use it. Expressions are tried only where no forge's own check proves the sender: they
    cost ten times as much.
    """
    proved: list[_Proved] = []
    tried: _Tried = {}
    problems: list[tuple[bool, StoppedError]] = []
    asking = [trigger for trigger in listener.triggers if trigger.secrets_used]
    for trigger in sorted(asking, key=lambda trigger: not _by_forges(trigger)):
        if proved and not _by_forges(trigger):
            break
        try:
            by = _authenticate(trigger, request, secrets, tried)
            proved.append(_Proved(trigger=trigger, by=by))
        except StoppedError as error:
            problems.append((_addressed(trigger, request), error))
    if proved or not check:
        return proved
    # The reasons of the sender's own forge come first; of the others only where there is none.
    meant = [error for addressed, error in problems if addressed] or [e for _, e in problems]
    if not meant:
        raise RefusedError(401, "no trigger of this listener takes webhooks")
    if all(error.__cause__ is not None for error in meant):
        raise RefusedError(503, "the listener's webhook secret cannot be used now")
    known = [error for error in meant if error.__cause__ is None]
    raise RefusedError(401, str(known[0]))


_Tried = dict[tuple[str, SecretRef], StoppedError | None]
"""By a forge's interceptor and its secret: why the request is not accepted, None where it is."""


def _authenticate(
    trigger: Trigger, request: Request, secrets: Secrets, tried: _Tried
) -> tuple[Forge, ...]:
    """The checks that hold. Raises StoppedError where one interceptor has none that does."""
    held: list[Forge] = []
    for link in trigger.links:
        checks = _checks(link.interceptor)
        problems = {id(check): _problem(check, request, secrets, tried) for check in checks}
        here = [check for check in checks if problems[id(check)] is None]
        if checks and not here:
            addressed = [check for check in checks if request.header(check.EVENT)] or checks
            errors = [error for check in addressed if (error := problems[id(check)])]
            raise next((error for error in errors if error.__cause__ is None), errors[0])
        held += here
    for link in trigger.links:
        if link.interceptor.secrets_used and not _checks(link.interceptor):
            link.interceptor.authenticate(request, secrets)
    return tuple(held)


def _problem(
    check: Forge, request: Request, secrets: Secrets, tried: _Tried
) -> StoppedError | None:
    if check.secret is None:
        return None
    key = (check.kind, check.secret)
    if key not in tried:
        tried[key] = _refusal(check, request, secrets)
    return tried[key]


def _refusal(forge: Forge, request: Request, secrets: Secrets) -> StoppedError | None:
    try:
        forge.authenticate(request, secrets)
    except StoppedError as error:
        return error
    return None


def _checks(interceptor: Interceptor) -> Sequence[Forge]:
    """The forges' checks of which one must hold."""
    if isinstance(interceptor, Delivery):
        return interceptor.checks
    return (interceptor,) if isinstance(interceptor, Forge) else ()


def _by_forges(trigger: Trigger) -> list[Forge]:
    return [check for link in trigger.links for check in _checks(link.interceptor)]


def _addressed(trigger: Trigger, request: Request) -> bool:
    """Whether the request names an event as this trigger's forges do."""
    return any(request.header(check.EVENT) for check in _by_forges(trigger))


def _wanted(proved: list[_Proved], event: str) -> None:
    types: set[str] = set()
    for one in proved:
        listed = [check.event_types for check in one.by if check.event_types is not None]
        if not listed or any(event in kinds for kinds in listed):
            return
        types |= {kind for kinds in listed for kind in kinds}
    if not event:
        raise RefusedError(
            400, "got no X-GitHub-Event, X-Gitlab-Event or X-Event-Key header, expected one"
        )
    raise RefusedError(422, f"got the event {event!r}, expected one of {sorted(types)}")


def _object(listener: Triggers, headers: Mapping[str, str], body: bytes) -> None:
    content_type = first(headers, "content-type").partition(";")[0].strip().lower()
    if content_type == FORM and listener.forms:
        return
    if content_type not in _JSON:
        raise RefusedError(415, f"got content type {content_type!r}, expected one of {_JSON}")
    try:
        document = json.loads(body, parse_constant=_no_constant)
        _check_depth(document)
    except (ValueError, RecursionError) as error:
        reason = _TOO_DEEP if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"got a body that is not JSON: {reason}") from None
    if not isinstance(document, dict):
        got = "null" if document is None else f"a {type(document).__name__}"
        raise RefusedError(400, f"got {got} as JSON body, expected an object")


def _check_depth(document: Any) -> None:
    """How deep Python can read depends on who asks: what is stored must be readable everywhere."""
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(_DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [one for items in inner for one in items if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
