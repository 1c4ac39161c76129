"""What does a recorder answer? /healthz and /metrics to all, what is stored to loopback alone.

Whoever may forward a port of the recorder's Pod reads records, logs and reports with no credential
of the store. Nobody else reaches that port: it is not on the Pod's network.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from touchstone.artifacts.store import Store
from touchstone.cluster.records import ROOT
from touchstone.errors import TouchstoneError

Answer = tuple[int, bytes]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


def listen(host: str, port: int, answer: Callable[[str], Answer]) -> ThreadingHTTPServer:
    """Answer GET there, in threads, until the server is shut down. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802  the base class calls it by that name
            code, content = answer(self.path)
            self.send_response(code)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # whoever asked has had enough
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: probes come all the time."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def public(healthy: Callable[[], bool], metrics: Callable[[], bytes]) -> Callable[[str], Answer]:
    """What probes and Prometheus ask."""

    def answer(path: str) -> Answer:
        match path.partition("?")[0]:
            case "/healthz":
                return (200, b"ok\n") if healthy() else (503, b"stuck\n")
            case "/metrics":
                return 200, metrics()
        return 404, b"got another path, expected /healthz or /metrics\n"

    return answer


def stored(store: Store, namespaces: Sequence[str]) -> Callable[[str], Answer]:
    """`/refs/<name>` is the digest that a name of these namespaces points to, `/blobs/<digest>` a
    blob, `/names/<name>` the references below a name."""

    own = tuple(f"{ROOT}/{namespace}" for namespace in namespaces)

    def may(name: str) -> bool:
        allowed = any(name == one or name.startswith(f"{one}/") for one in own)
        return bool(_NAME.fullmatch(name)) and (allowed or name.startswith("runs/"))

    def answer(path: str) -> Answer:
        _, kind, *rest = path.split("/", 2)
        name = rest[0] if rest else ""
        try:
            if kind == "refs" and may(name):
                digest = store.ref(name)
                return (200, digest.encode()) if digest else (404, b"")
            if kind == "names" and may(name):
                return 200, "\n".join(store.refs(name)).encode()
            if kind == "blobs" and _DIGEST.fullmatch(name):
                return (200, store.get_bytes(name)) if name in store else (404, b"")
        except (TouchstoneError, OSError) as error:
            return 502, str(error).encode()
        return 403, b"got another path, expected /refs/, /names/ or /blobs/ of these namespaces\n"

    return answer
