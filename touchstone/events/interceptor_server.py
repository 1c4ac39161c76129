"""The interceptor `touchstone` over HTTP: Tekton's InterceptorRequest in, its response out.

Tekton's sink posts every event to it, a stranger's, too; it is answered 200 with `continue`, and
where that is false with a `status` whose message says why, which the sink logs.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from touchstone.errors import PlatformError
from touchstone.events import interceptor_metrics
from touchstone.events.headers import gathered
from touchstone.events.interceptor_metrics import Metrics
from touchstone.events.interceptors.delivery import Delivery
from touchstone.events.interceptors.interceptor import (
    ElsewhereError,
    Request,
    Secrets,
    StoppedError,
    UnwantedError,
)

_MAX_REQUEST = 8 << 20
"""Bytes of a request; the body of an event, at most 1 MiB here, is a text in its JSON."""

_INVALID, _PRECONDITION = 3, 9
"""google.rpc.Code's InvalidArgument and FailedPrecondition."""

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus: what /metrics is written in."""

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
    """The ASGI app: `POST /` answers the sink, `GET /healthz` and `/metrics` who looks after it."""
    metrics = Metrics()

    async def take(request: HttpRequest) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MAX_REQUEST:
                metrics.answered(interceptor_metrics.UNKNOWN, interceptor_metrics.INVALID, 0.0)
                return _stop(_INVALID, f"got more than {_MAX_REQUEST} bytes, expected fewer")
        return await run_in_threadpool(_answered, bytes(content), secrets, metrics)

    async def healthy(request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"})

    async def measured(request: HttpRequest) -> Response:
        return Response(metrics.text(), media_type=_TEXT)

    return Starlette(
        routes=[
            Route("/", take, methods=["POST"]),
            Route("/healthz", healthy, methods=["GET"]),
            Route("/metrics", measured, methods=["GET"]),
        ]
    )


def _answered(content: bytes, secrets: Secrets, metrics: Metrics) -> JSONResponse:
    began = time.perf_counter()
    forge = interceptor_metrics.UNKNOWN

    def stopped(code: int, outcome: str, message: str) -> JSONResponse:
        metrics.answered(forge, outcome, time.perf_counter() - began)
        return _stop(code, message)

    try:
        document = json.loads(content)
        request = _request(document)
        interceptor = Delivery.build(document.get("interceptor_params") or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return stopped(
            _INVALID,
            interceptor_metrics.INVALID,
            f"got no InterceptorRequest that can be read: {error}",
        )
    forge = interceptor.spoken(request) or forge
    try:
        passed = interceptor.process(request, secrets)
    except StoppedError as error:
        _log.info("event %s stops at %s: %s", request.event_id, request.trigger, error)
        return stopped(_PRECONDITION, _outcome(error), str(error))
    metrics.answered(forge, interceptor_metrics.STARTED, time.perf_counter() - began)
    return JSONResponse({"continue": True, "status": {}, "extensions": dict(passed.extensions)})


def _outcome(error: StoppedError) -> str:
    if isinstance(error, UnwantedError):
        return interceptor_metrics.IGNORED
    known = isinstance(error, ElsewhereError)
    return interceptor_metrics.ELSEWHERE if known else interceptor_metrics.REFUSED


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
