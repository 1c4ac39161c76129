"""How does a span get to a collector, and which trace is it of? OTLP over HTTP, as JSON.

What an event leads to is one trace: that of the W3C `traceparent` (https://www.w3.org/TR/trace-context/)
which came with the event, else one that follows from the event's id. All ids follow from what a
span is about, so that what is sent twice is the same span.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import unquote

from touchstone.errors import PlatformError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_OF_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_NAME = "OTEL_SERVICE_NAME"

INTERNAL, SERVER = 1, 2
"""Kinds of spans, as OTLP counts them."""

_OK, _ERROR = 1, 2
_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")

Span = dict[str, Any]


class Above(NamedTuple):
    """Where a span belongs."""

    trace: str
    """32 hexadecimal digits."""
    parent: str
    """16 hexadecimal digits; empty for a trace's first span."""

    @classmethod
    def read(cls, traceparent: str) -> Above | None:
        """None where it is no `traceparent` of version 00."""
        match = _PARENT.fullmatch(traceparent)
        return cls(match[1], match[2]) if match else None


def of_event(event: str, given: str = "") -> str:
    """The `traceparent` of all that an event leads to: what came with it, else one of its own."""
    if Above.read(given):
        return given
    return f"00-{identity('trace', event, size=16)}-{identity('event', event)}-01"


def identity(*of: str, size: int = 8) -> str:
    """An id of so many bytes that follows from what it is of, in hexadecimal."""
    return hashlib.sha256("\0".join(of).encode()).digest()[:size].hex()


def span(
    name: str,
    own: str,
    above: Above,
    seconds: tuple[float, float],
    about: Mapping[str, str],
    *,
    kind: int = INTERNAL,
    failure: str | None = None,
) -> Span:
    """A span as OTLP writes it.

    Args:
        own: its id.
        seconds: its beginning and its end, since the epoch.
        about: attributes; those that are empty are left out.
        failure: what went wrong, None where nothing did.
    """
    began, ended = (str(round(one * 1e6) * 1000) for one in seconds)
    return {
        "traceId": above.trace,
        "spanId": own,
        **({"parentSpanId": above.parent} if above.parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": began,
        "endTimeUnixNano": ended,
        "attributes": _attributes(about),
        "status": {"code": _OK} if failure is None else {"code": _ERROR, "message": failure},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Where spans go, as the variables of OpenTelemetry say."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = "touchstone"

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Exporter | None:
        """None where no variable names an endpoint."""
        url = environment.get(_OF_TRACES, "")
        if not url and (base := environment.get(ENDPOINT, "")):
            url = base.rstrip("/") + "/v1/traces"
        given = [one.partition("=") for one in environment.get(_HEADERS, "").split(",") if one]
        headers = {name.strip(): unquote(value.strip()) for name, _, value in given}
        name = environment.get(_NAME) or "touchstone"
        return cls(url=url, headers=headers, service=name) if url else None

    def send(self, spans: Sequence[Span]) -> None:
        """Raises PlatformError where nobody takes them."""
        import httpx

        scope = {"name": "touchstone", "version": version("touchstone")}
        resource = {"attributes": _attributes({"service.name": self.service})}
        document = {
            "resourceSpans": [
                {
                    "resource": resource,
                    "scopeSpans": [{"scope": scope, "spans": list(spans)}],
                }
            ]
        }
        try:
            answer = httpx.post(self.url, json=document, headers=dict(self.headers), timeout=10)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PlatformError(
                f"{self.url} cannot be reached: {type(error).__name__}",
                hint=f"{ENDPOINT} names a collector that speaks OTLP over HTTP, port 4318",
            ) from None
        if not answer.is_success:
            raise PlatformError(
                f"{self.url} answered {answer.status_code} to {len(spans)} spans, expected 2xx"
            )


def _attributes(found: Mapping[str, str]) -> list[Span]:
    return [{"key": key, "value": {"stringValue": text}} for key, text in found.items() if text]
