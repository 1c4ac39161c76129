"""The interceptor `touchstone` over HTTP: Tekton's InterceptorRequest in, its response out.

Tekton's sink posts every event to it, a stranger's, too; it is answered 200 with `continue`, and
where that is false with a `status` whose message says why, which the sink logs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from touchstone.errors import PlatformError
from touchstone.events.headers import gathered
from touchstone.events.interceptors.delivery import Delivery
from touchstone.events.interceptors.interceptor import Request, Secrets, StoppedError

_MAX_REQUEST = 8 << 20
"""Bytes of a request; the body of an event, at most 1 MiB here, is a text in its JSON."""

_INVALID, _PRECONDITION = 3, 9
"""google.rpc.Code's InvalidArgument and FailedPrecondition."""

_log = logging.getLogger(__name__)


def secrets_of(folder: Path) -> Secrets:
    """The Secrets that are mounted below the folder, each in one of its name."""

    def secret(name: str, key: str) -> bytes:
        try:
            return (folder / name / key).read_bytes()
        except OSError as error:
            raise PlatformError(
                f"secret {name} has no key {key}: {error.strerror}",
                hint=f"mount it at {folder / name}",
            ) from None

    return secret


def create_app(secrets: Secrets) -> Starlette:
    """The ASGI app: `POST /` answers the sink, `GET /healthz` its kubelet."""

    async def take(request: HttpRequest) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MAX_REQUEST:
                return _stop(_INVALID, f"got more than {_MAX_REQUEST} bytes, expected fewer")
        return await run_in_threadpool(_answered, bytes(content), secrets)

    async def healthy(request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/", take, methods=["POST"]),
            Route("/healthz", healthy, methods=["GET"]),
        ]
    )


def _answered(content: bytes, secrets: Secrets) -> JSONResponse:
    try:
        document = json.loads(content)
        request = _request(document)
        interceptor = Delivery.build(document.get("interceptor_params") or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return _stop(_INVALID, f"got no InterceptorRequest that can be read: {error}")
    try:
        passed = interceptor.process(request, secrets)
    except StoppedError as error:
        _log.info("event %s stops at %s: %s", request.event_id, request.trigger, error)
        return _stop(_PRECONDITION, str(error))
    return JSONResponse({"continue": True, "status": {}, "extensions": dict(passed.extensions)})


def _request(document: Mapping[str, Any]) -> Request:
    headers = document.get("header") or {}
    context = document.get("context") or {}
    return Request(
        headers=gathered((name, value) for name, values in headers.items() for value in values),
        raw=str(document.get("body") or "").encode("utf-8", "surrogatepass"),
        url=str(context.get("event_url", "/")),
        extensions=document.get("extensions") or {},
        event_id=str(context.get("event_id", "")),
        trigger=str(context.get("trigger_id", "")),
    )


def _stop(code: int, message: str) -> JSONResponse:
    return JSONResponse({"continue": False, "status": {"code": code, "message": message}})
