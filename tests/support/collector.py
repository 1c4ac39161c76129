"""A collector of spans: OTLP over HTTP, held to OTLP's own protobuf messages, kept in memory."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_IDS = ("traceId", "spanId", "parentSpanId")


class Collector:
    """What came in."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        """By name; each name has come once, or the same again."""
        self.headers: dict[str, str] = {}
        self.code = 200
        """What it answers."""
        self.url = ""

    def take(self, body: bytes) -> None:
        """Raises where OTLP does not know a field, or a span has another of its id beside it."""
        request = ExportTraceServiceRequest()
        json_format.Parse(json.dumps(_decoded(json.loads(body))), request)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    assert self.spans.setdefault(span.name, span) == span
                    assert len(span.trace_id) == 16 and len(span.span_id) == 8

    def parent(self, name: str) -> str:
        """The name of the span above; empty for none, an id where it never came."""
        parent = self.spans[name].parent_span_id
        names = {span.span_id: span.name for span in self.spans.values()}
        return names.get(parent, parent.hex())

    def about(self, name: str) -> dict[str, str]:
        """A span's attributes."""
        return {one.key: one.value.string_value for one in self.spans[name].attributes}

    @property
    def traces(self) -> set[str]:
        """The traces that all spans are of."""
        return {span.trace_id.hex() for span in self.spans.values()}


def _decoded(found: Any) -> Any:
    """OTLP writes ids in hexadecimal where protobuf's JSON has base64."""
    if isinstance(found, list):
        return [_decoded(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode() if key in _IDS else _decoded(value)
        for key, value in found.items()
    }


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens until the end."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            code = found.code
            if self.path != "/v1/traces" or self.headers["content-type"] != "application/json":
                code = 404
            if code == 200:
                try:
                    found.take(body)
                except Exception:
                    code = 400
            found.headers = dict(self.headers)
            self.send_response(code)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
