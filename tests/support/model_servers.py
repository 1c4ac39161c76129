"""Model servers on Unix sockets, real ones and stand-ins, and a proxy before them."""

import json
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import uvicorn

from touchstone.delivery.envoy import Proxy
from touchstone.delivery.proxy import Target
from touchstone.delivery.serve import Server


class Stub:
    """An ASGI application; `asked` are the requests that reached it, `wait` how long it thinks."""

    def __init__(self, version="1", wait=0.0):
        self.version, self.wait = version, wait
        self.asked = []

    async def __call__(self, scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        self.asked.append((scope["method"], target.decode(), size, headers))
        await anyio.sleep(self.wait)
        body = json.dumps({"version": self.version}).encode()
        kept = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"set-cookie", b"session=stolen"),
            (b"access-control-allow-origin", b"*"),
            (b"clear-site-data", b"*"),
            (b"x-touchstone-version", b"forged"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": kept})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def served(stub, *, model="tiny", environment="staging"):
    """The target of a running `stub`; unlike a process it can be ended at an exact moment."""
    with tempfile.TemporaryDirectory(prefix="stub-") as folder:
        target = Target(
            environment=environment,
            model=model,
            version=stub.version,
            socket=Path(folder) / "http.sock",
        )
        config = uvicorn.Config(
            stub,
            uds=str(target.socket),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=0,  # it waits for nobody: whoever ends it must have waited
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield target
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def a_server(model_dir, model):
    """A real server of a model tree that is ready; yields a client of it."""
    with tempfile.TemporaryDirectory(prefix="server-") as folder:
        address, log = Path(folder) / "http.sock", Path(folder) / "log"
        server = Server(model=model, model_dir=model_dir, address=address, log=log)
        try:
            server.wait_ready()
            transport = httpx.HTTPTransport(uds=str(address))
            with httpx.Client(transport=transport, base_url=f"http://{model}", timeout=60) as asked:
                yield asked
        finally:
            server.stop()


@contextmanager
def scripted(folder, answer):
    """The target of a server that answers each connection with these bytes, then closes it.

    Yields also what each connection sent.
    """
    target = Target(environment="staging", model="tiny", version="1", socket=folder / "http.sock")
    taken = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(target.socket))
        listener.listen()

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    taken.append(connection.recv(65536))
                    try:
                        connection.sendall(answer)
                    except OSError:
                        continue  # the proxy has seen enough

        threading.Thread(target=serve, daemon=True).start()
        yield target, taken
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_in(folder):
    """A running proxy on a free port."""
    with tempfile.TemporaryDirectory(prefix="sockets-") as sockets:
        log = folder / "proxy.log"
        proxy = Proxy(folder=folder / "proxy", sockets=Path(sockets), log=log, port=0)
        proxy.start()
        try:
            yield proxy
        finally:
            proxy.stop()
