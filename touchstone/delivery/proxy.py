"""The loopback proxy: one address for every served model, whichever revision answers.

/v1/models/NAME…  /v2/models/NAME…          the model, where most recently put
/ENVIRONMENT/v1/models/NAME…  (and v2)      the model in one environment
/                                            what is served, as JSON
"""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIMIT = 32 << 20
"""Largest request body in bytes; a few hundred small images as JSON."""

_HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
    *("trailer", "transfer-encoding", "upgrade", "host", "content-length", "content-encoding"),
    "accept-encoding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The revision that answers for one model in one environment."""

    environment: str
    model: str
    version: str
    url: str
    """Of the revision's server, without a path."""


class Routes:
    """Which revision answers for which model; changed by one thread, read by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str], Target] = {}

    def put(self, target: Target) -> None:
        """Answer with `target` from the next request on."""
        key = (target.environment, target.model)
        with self._lock:
            self._targets.pop(key, None)  # re-inserted last: the most recently put
            self._targets[key] = target

    def remove(self, environment: str, model: str) -> None:
        """Answer 503 from the next request on."""
        with self._lock:
            self._targets.pop((environment, model), None)

    def find(self, environment: str | None, model: str) -> Target | None:
        """The target; without an environment the most recently put one of that model."""
        with self._lock:
            if environment is not None:
                return self._targets.get((environment, model))
            return next((t for t in reversed(self._targets.values()) if t.model == model), None)

    def all(self) -> list[Target]:
        """Every target, the most recently put last."""
        with self._lock:
            return list(self._targets.values())


def create_app(routes: Routes) -> Starlette:
    """The proxy as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        timeout = httpx.Timeout(60, connect=5)
        # Revisions are on loopback: a proxy from the environment must not come in between.
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            app.state.client = client
            yield

    async def index(request: Request) -> Response:
        served = [
            {"environment": t.environment, "model": t.model, "version": t.version}
            for t in routes.all()
        ]
        return JSONResponse({"serving": served})

    async def forward(request: Request) -> Response:
        return await _forward(request, routes)

    pattern = "/{protocol}/models/{rest:path}"
    methods = ["GET", "POST"]
    return Starlette(
        routes=[
            Route("/", index),
            Route(pattern, forward, methods=methods),
            Route("/{environment}" + pattern, forward, methods=methods),
        ],
        lifespan=lifespan,
    )


async def _forward(request: Request, routes: Routes) -> Response:
    parameters = request.path_params
    protocol, rest = parameters["protocol"], parameters["rest"]
    environment = parameters.get("environment")
    model = re.split(r"[:/]", rest, maxsplit=1)[0]
    # A whitelist: the model server's own load and unload must not be reached from here.
    if protocol not in ("v1", "v2") or not re.fullmatch(r"[\w.-]+([:/][\w./-]*)?", rest):
        return _problem(404, f"got {request.url.path}, expected /v1/models/… or /v2/models/…")
    target = routes.find(environment, model)
    if target is None:
        where = f" in {environment}" if environment else ""
        return _problem(503, f"no revision of {model} is ready{where}")
    body = await _body(request)
    if body is None:
        return _problem(413, f"the body is over the limit of {LIMIT} bytes")
    headers = {k: v for k, v in request.headers.items() if k not in _HOP_BY_HOP}
    client: httpx.AsyncClient = request.app.state.client
    try:
        answer = await client.request(
            request.method,
            f"{target.url}/{protocol}/models/{rest}",
            params=request.query_params,
            content=body,
            headers=headers,
        )
    except httpx.TimeoutException:
        return _problem(504, f"{model} {target.version} did not answer in time")
    except httpx.HTTPError as error:
        return _problem(503, f"{model} {target.version} cannot be reached ({type(error).__name__})")
    kept = {k: v for k, v in answer.headers.items() if k not in _HOP_BY_HOP}
    kept["x-touchstone-version"] = target.version
    kept["x-touchstone-environment"] = target.environment
    return Response(answer.content, status_code=answer.status_code, headers=kept)


async def _body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LIMIT:
            return None
        parts.append(part)
    return b"".join(parts)


def _problem(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=status)
