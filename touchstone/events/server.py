"""The HTTP face of the embedded EventListener: refuse, or store and then acknowledge.

Tekton's own sink answers 202 before its interceptors have run, so a sender never learns that its
signature was wrong. This one verifies first, because the sender here is a git hook that can tell
the person who pushed, and because what was not signed should not fill the disk:

| status | meaning |
| --- | --- |
| 202 | stored, or known already (`"status": "duplicate"`) |
| 200 | GitHub's `ping`, signed |
| 400 | the body is not a JSON object, or the event's headers are missing |
| 401 | a webhook with no signature, or a wrong one |
| 413 | the body is over the limit |
| 415 | the content type is not JSON |
| 422 | an event that no trigger takes |
| 503 | it cannot be stored or verified now; send it again |

CloudEvents carry no signature. They are taken only where a trigger without the `github`
interceptor exists, can start only such triggers, and are known by their source and id.

A webhook is known by the digest of its signed body, since `X-GitHub-Delivery` is not covered by
the signature: a captured body sent again under a new delivery id is a duplicate, as is GitHub's
own redelivery, which repeats id and body.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from touchstone.artifacts import digest_bytes
from touchstone.errors import TouchstoneError
from touchstone.events import cloud_events, signature
from touchstone.events.listener import Listener

MAX_BODY = 1 << 20
"""Bytes accepted in one body unless told otherwise."""

_log = logging.getLogger(__name__)
_JSON = ("application/json", "application/cloudevents+json")
_NOT_STORED = frozenset({"authorization", "cookie", "proxy-authorization"})


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def create_app(
    listener: Listener, *, max_body: int = MAX_BODY, on_stored: Callable[[], None] = lambda: None
) -> Starlette:
    """The ASGI app: `POST /` takes events, `GET /healthz` says that it listens.

    `on_stored` is called after each newly stored event and must return at once; processing is
    `listener.process_pending()`, elsewhere.
    """

    async def take(request: Request) -> Response:
        try:
            body = await _read(request, max_body)
            headers = {name.lower(): value for name, value in request.headers.items()}
            return await run_in_threadpool(_take, listener, headers, body, on_stored)
        except ClientDisconnect:
            _log.warning("a sender went away before its body was complete")
            return _answer(400, error="got an incomplete body")
        except _RefusedError as refusal:
            sender = request.client.host if request.client else "unknown"
            _log.warning("refused a request from %s: %d, %s", sender, refusal.status, refusal)
            return _answer(refusal.status, error=str(refusal))

    async def healthy(request: Request) -> Response:
        return _answer(200, status="ok", eventListener=listener.triggers.name)

    return Starlette(
        routes=[Route("/", take, methods=["POST"]), Route("/healthz", healthy, methods=["GET"])]
    )


def _answer(code: int, **content: str) -> JSONResponse:
    # The rest of a refused body is never read, so the connection cannot be used again.
    headers = {"connection": "close"} if code >= 400 else None
    return JSONResponse(content, status_code=code, headers=headers)


async def _read(request: Request, limit: int) -> bytes:
    problem = f"expected a body of at most {limit} bytes"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _RefusedError(413, f"got {declared} bytes, {problem}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _RefusedError(413, f"got more than {limit} bytes, {problem}")
    return bytes(body)


def _take(
    listener: Listener, headers: Mapping[str, str], body: bytes, on_stored: Callable[[], None]
) -> Response:
    if cloud_events.is_cloud_event(headers):
        source, identity = _cloud_event(listener, headers, body)
    else:
        _verify(listener, headers, body)
        event = headers.get("x-github-event")
        if event is None:
            raise _RefusedError(400, "got no X-GitHub-Event header, expected an event's name")
        _object(headers, body)
        if event == "ping":
            return _answer(200, status="pong")
        _wanted(listener, event)
        source, identity = "github", digest_bytes(body)
    try:
        stored = listener.state.add_event(
            source=source,
            event_id=identity,
            headers={name: text for name, text in headers.items() if name not in _NOT_STORED},
            body=body,
        )
    except (sqlite3.Error, OSError) as error:
        _log.exception("an event could not be stored")
        raise _RefusedError(503, f"the event could not be stored: {error}") from None
    delivery = headers.get("x-github-delivery", identity)
    if stored is None:
        _log.info("delivery %s from %s is a duplicate of %s", delivery, source, identity)
        return _answer(202, status="duplicate", event=identity)
    _log.info("delivery %s from %s stored as %s", delivery, source, identity)
    on_stored()
    return _answer(202, status="stored", event=identity, eventListener=listener.triggers.name)


def _cloud_event(listener: Listener, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    if not listener.takes_unsigned():
        raise _RefusedError(422, "got a CloudEvent, expected a webhook: no trigger takes it")
    _object(headers, body)
    try:
        source, identity = cloud_events.identity(headers, body)
    except ValueError as error:
        raise _RefusedError(400, str(error)) from None
    # The prefix keeps an event that calls its source `github` apart from webhooks.
    return f"cloudevents {source}", identity


def _verify(listener: Listener, headers: Mapping[str, str], body: bytes) -> None:
    """The signature fits the secret of at least one trigger."""
    secrets = sorted({interceptor.secret for interceptor in listener.github_interceptors()})
    problems = ["no trigger of this listener takes webhooks"]
    for name, key in secrets:
        try:
            found = signature.problem(
                headers.get(signature.HEADER), body, listener.secrets(name, key)
            )
        except (TouchstoneError, ValueError) as error:
            _log.error("the webhook secret %s/%s cannot be used: %s", name, key, error)
            raise _RefusedError(503, "the listener's webhook secret cannot be used now") from None
        if not found:
            return
        problems = [found]
    raise _RefusedError(401, problems[0])


def _wanted(listener: Listener, event: str) -> None:
    interceptors = listener.github_interceptors()
    types = {name for interceptor in interceptors for name in interceptor.event_types}
    if event not in types and all(interceptor.event_types for interceptor in interceptors):
        raise _RefusedError(422, f"got the event {event!r}, expected one of {sorted(types)}")


def _object(headers: Mapping[str, str], body: bytes) -> None:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _JSON:
        raise _RefusedError(415, f"got content type {content_type!r}, expected one of {_JSON}")
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _RefusedError(400, f"got a body that is not JSON: {reason}") from None
    if not isinstance(document, dict):
        raise _RefusedError(400, f"got a JSON {type(document).__name__}, expected an object")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
