"""The HTTP face of the embedded EventListeners: refuse, or store and then acknowledge.

Tekton's own sink answers 202 before its interceptors have run, so a sender never learns that its
signature was wrong. This one verifies first, because the sender can then tell the person who
pushed, and because what was not signed should not fill the disk:

| status | meaning |
| --- | --- |
| 202 | stored, or known already (`"status": "duplicate"`) |
| 200 | a forge's ping, signed |
| 400 | the body is not a JSON object, or the event's headers are missing |
| 401 | a webhook with no proof of its sender, or a wrong one |
| 413 | the body is over the limit |
| 415 | the content type is not JSON |
| 422 | an event that no trigger takes |
| 431 | more than 100 headers, or more than 32 KiB of them |
| 503 | it cannot be stored or verified now; send it again |

Who proved to be the sender and asks by `Prefer: wait=2` (RFC 7240, section 4.3) hears in the 202
also what came of the event: `outcome`, a sentence, and `runs`; neither where it takes longer or
too many wait.

A request is accepted where one trigger's secrets prove its sender: an HMAC of the body, or a token
that is compared in constant time. CloudEvents may come without a proof, but then start only
triggers that ask for none. What makes two deliveries one is in touchstone.events.identity.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from touchstone.events.headers import gathered
from touchstone.events.identity import delivery_of
from touchstone.events.intake import Accepted, RefusedError, accept
from touchstone.events.listener import LISTENER, PATH, Listener, event_uuid
from touchstone.events.triggers import Triggers

MAX_BODY = 1 << 20
"""Bytes accepted in one body unless told otherwise."""

_MOST_PATIENCE = 2
"""Seconds that an answer waits at most for what comes of its event."""

_MOST_WAITING = 32
"""Answers that wait at once: each holds a connection, of which there are not many."""

_LOOK_SECONDS, _LOOK_SHARE = 0.02, 0.25
"""Until the next look for it: so many seconds, or that share of the time waited so far."""

_MOST_HEADERS, _MAX_HEADERS = 100, 32 << 10
"""How many headers, and how many bytes of them; forges send some twenty."""

_log = logging.getLogger(__name__)


def create_app(
    listener: Listener, *, max_body: int = MAX_BODY, on_stored: Callable[[], None] = lambda: None
) -> Starlette:
    """The ASGI app: `POST /` and `POST /<EventListener>` take events, `GET /healthz` answers.

    `on_stored` is called after each newly stored event and must return at once; processing is
    `listener.process_pending()`, elsewhere.
    """

    waiting = asyncio.Semaphore(_MOST_WAITING)

    async def take(request: Request) -> Response:
        name = request.path_params.get("name", listener.triggers.name)
        try:
            if name not in listener.reachable:
                raise RefusedError(404, f"got no EventListener {name!r}")
            _check_headers(request)
            body = await _read(request, max_body)
            headers = gathered(
                (name, value)
                for name, value in request.headers.items()
                if not name.startswith(":")  # names of our own, see touchstone.events.credentials
            )
            url = f"/?{request.url.query}" if request.url.query else "/"
            accepted, told = await run_in_threadpool(
                _take, listener, listener.reachable[name], headers, body, url, on_stored
            )
            if accepted.ping:
                return _answer(200, **told)
            # Nobody hears of an event that they could not have sent.
            if accepted.proved and (patience := _patience(headers)) and not waiting.locked():
                async with waiting:
                    told |= await _outcome(listener, accepted, patience)
            return _answer(202, **told)
        except ClientDisconnect:
            _log.warning("a sender went away before its body was complete")
            return _answer(400, error="got an incomplete body")
        except RefusedError as refusal:
            sender = request.client.host if request.client else "unknown"
            _log.warning("refused a request from %s: %d, %s", sender, refusal.status, refusal)
            return _answer(refusal.status, error=str(refusal))
        except Exception:  # a full disk, a locked state: what it was is for the log alone
            _log.exception("an event could not be taken")
            return _answer(503, error="the event cannot be taken now, send it again later")

    async def healthy(request: Request) -> Response:
        return _answer(200, status="ok", eventListener=listener.triggers.name)

    return Starlette(
        routes=[
            Route("/healthz", healthy, methods=["GET"]),
            Route("/", take, methods=["POST"]),
            Route("/{name}", take, methods=["POST"]),
        ]
    )


def _answer(code: int, **content: Any) -> JSONResponse:
    # The rest of a refused body is never read, so the connection cannot be used again.
    headers = {"connection": "close"} if code >= 400 else None
    return JSONResponse(content, status_code=code, headers=headers)


def _check_headers(request: Request) -> None:
    headers = request.headers.raw
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > _MOST_HEADERS or size > _MAX_HEADERS:
        raise RefusedError(
            431,
            f"got {len(headers)} headers of {size} bytes, expected at most {_MOST_HEADERS}"
            f" of {_MAX_HEADERS} bytes",
        )


async def _read(request: Request, limit: int) -> bytes:
    problem = f"expected a body of at most {limit} bytes"
    declared = request.headers.get("content-length", "")
    # No int() of a text of any length: Python refuses those beyond 4300 digits.
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise RefusedError(413, f"got {declared[:20]} bytes, {problem}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RefusedError(413, f"got more than {limit} bytes, {problem}")
    return bytes(body)


def _take(
    listener: Listener,
    triggers: Triggers,
    headers: Mapping[str, str],
    body: bytes,
    url: str,
    on_stored: Callable[[], None],
) -> tuple[Accepted, dict[str, Any]]:
    """What was accepted and stored, and the answer. Raises RefusedError."""
    accepted = accept(triggers, headers, body, url=url, secrets=listener.secrets)
    if accepted.ping:
        return accepted, {"status": "pong"}
    source, identity = accepted.source, accepted.event_id
    stored = listener.state.add_event(
        source=source,
        event_id=identity,
        among=accepted.among,
        headers={**accepted.headers, PATH: url, LISTENER: triggers.name},
        body=body,
    )
    delivery = delivery_of(headers) or identity
    if stored is None:
        _log.info("delivery %s from %s is a duplicate of %s", delivery, source, identity)
        return accepted, {"status": "duplicate", "event": identity}
    _log.info("delivery %s from %s stored as %s", delivery, source, identity)
    on_stored()
    return accepted, {
        "status": "stored",
        "event": identity,
        "eventListener": triggers.name,
        "namespace": triggers.namespace,
        "eventID": event_uuid(source, identity),
    }


def _patience(headers: Mapping[str, str]) -> int:
    """Seconds that the sender asks to wait for the outcome, as far as we do."""
    asked = re.search(r"(?:^|[,;\s])wait=(\d{1,9})(?:$|[,;\s])", headers.get("prefer", ""))
    return min(int(asked[1]), _MOST_PATIENCE) if asked else 0


async def _outcome(listener: Listener, accepted: Accepted, seconds: int) -> dict[str, Any]:
    """What came of the event within so many seconds; empty where nothing has yet."""
    begun = time.monotonic()
    sources = (accepted.source, *accepted.among)
    while (waited := time.monotonic() - begun) < seconds:
        found = await run_in_threadpool(listener.state.event_known_as, accepted.event_id, sources)
        if found is not None and found.processed is not None:
            return {"outcome": found.summary, "runs": list(found.runs)}
        await asyncio.sleep(max(_LOOK_SECONDS, _LOOK_SHARE * waited))
    return {}
