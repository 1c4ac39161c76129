"""What a client without a secret can hold, and that a signed webhook is answered meanwhile."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from event_samples import SECRET, push, signed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from waiting import free_ports, until

from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.platform.http_server import Limits, server_of
from touchstone.runs.store import State

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
QUICK = Limits(receive=1, send=1)


@contextmanager
def _running(app, limits: Limits) -> Iterator[int]:
    port = free_ports()
    serving = server_of(app, port, limits)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    until(lambda: serving.started, 10, "the server does not start")
    try:
        yield port
    finally:
        serving.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    triggers = [Path(__file__).parents[2] / "tekton" / "triggers"]
    listener = Listener(
        State(tmp_path_factory.mktemp("home")),
        triggers=load_triggers(triggers),
        secrets=lambda name, key: SECRET,
    )
    return create_app(listener)


def _webhook(port: int) -> tuple[int, float]:
    """The answer to a push that was never sent before, and the seconds that it took."""
    headers, body = signed(push(after=f"{time.time_ns():040x}"))
    began = time.monotonic()
    answer = httpx.post(
        f"http://127.0.0.1:{port}/", content=body, headers=headers, trust_env=False, timeout=30
    )
    return answer.status_code, time.monotonic() - began


def _closed(client: socket.socket, within: float) -> bool:
    """Whether the server closes the connection, whatever it says before."""
    client.settimeout(within)
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


HELD = {
    "silent": b"",
    "half a header": b"POST / HTTP/1.1\r\nhost",
    "half a body": HEAD + b"content-length: 1000\r\n\r\n{",
    "a chunk too few": HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    "an answer, then half a header": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /heal",
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(per_address=50), Limits(connections=50)], ids=["all", "50", "50+"]
)
def test_a_signed_webhook_is_answered_within_a_second_while_200_connections_are_held(
    app, held, limits
):
    with _running(app, limits) as port, ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(held)
        status, seconds = _webhook(port)
        assert status == 202
        assert seconds < 1


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_a_request_that_does_not_come_whole_in_time_is_cut_off(app, held):
    with _running(app, QUICK) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(held)
            assert not _closed(client, 0.5)
            assert _closed(client, 3)
        assert _webhook(port)[0] == 202


@pytest.mark.parametrize(
    "start",
    [b"POST / HTTP/1.1\r\nx: ", HEAD + b"content-length: 1000\r\n\r\n"],
    ids=["head", "body"],
)
def test_a_byte_now_and_then_gains_no_time(app, start):
    with _running(app, QUICK) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(start)
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 10:
                client.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 4


def test_a_client_that_does_not_read_its_answer_is_cut_off(app):
    ended = threading.Event()

    async def much(request: Request) -> Response:
        return Response(b"x" * (64 << 20), background=None)

    async def told(scope, receive, send):
        await answers(scope, receive, send)
        if scope["type"] == "http":
            ended.set()

    answers = Starlette(routes=[Route("/", much)])
    with _running(told, QUICK) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert ended.wait(5)
        time.sleep(3)
        got = 0
        with pytest.raises(OSError):
            while chunk := client.recv(1 << 20):
                got += len(chunk)
            raise OSError("closed")
        assert got < 64 << 20


def test_a_client_that_reads_slowly_gets_its_whole_answer():
    async def much(request: Request) -> Response:
        return Response(b"x" * (16 << 20))

    limits = Limits(receive=60, send=5)
    with _running(Starlette(routes=[Route("/", much)]), limits) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            got = 0
            while chunk := client.recv(1 << 18):
                got += len(chunk)
                time.sleep(0.01)
        assert got > 16 << 20


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(b"".join(b"x-%d: 1\r\n" % n for n in range(101)), 431, id="101"),
        pytest.param(b"x: %s\r\n" % (b"y" * (33 << 10)), 431, id="33 KiB"),
        pytest.param(b"".join(b"x-%d: 1\r\n" % n for n in range(90)), 401, id="93"),
    ],
)
def test_headers_are_bounded_in_number_and_bytes(app, headers, status):
    with _running(app, Limits()) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(HEAD + headers + b"content-length: 2\r\n\r\n{}")
        client.settimeout(5)
        answer = client.recv(1 << 16)
        # What comes in several pieces is refused by the parser, before it is complete.
        assert answer.split(b" ")[1] in (str(status).encode(), b"400")


def test_an_endless_header_is_refused_while_it_comes(app):
    with _running(app, Limits()) as port, socket.create_connection(("127.0.0.1", port)) as client:
        sent = 0
        with pytest.raises(OSError):
            client.sendall(HEAD + b"x: ")
            while sent < 64 << 20:
                client.sendall(b"y" * 4096)
                sent += 4096
                time.sleep(0.001)
        assert sent < 8 << 20


def test_an_upgrade_is_no_way_past_the_limits(app):
    with _running(app, QUICK) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " not in client.recv(1 << 16)
        assert _closed(client, 3)


FEW_FILES = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.platform.http_server import Limits, server_of
from touchstone.runs.store import State
listener = Listener(
    State(Path(sys.argv[1])), triggers=load_triggers([Path(sys.argv[2])]),
    secrets=lambda name, key: b"a webhook secret",
)
server_of(create_app(listener), int(sys.argv[3]), Limits(receive=2)).run()
"""


def test_a_listener_of_64_files_survives_200_connections(tmp_path: Path):
    port = free_ports()
    triggers = Path(__file__).parents[2] / "tekton" / "triggers"
    arguments = [str(tmp_path), str(triggers), str(port)]
    process = subprocess.Popen([sys.executable, "-c", FEW_FILES, *arguments])
    try:
        until(lambda: _answers(port), 30, "the listener does not start")
        with ExitStack() as stack:
            for _ in range(200):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.sendall(HELD["half a header"])
            status, seconds = _webhook(port)
            assert (status, seconds < 5) == (202, True)
            assert process.poll() is None
        assert _webhook(port)[0] == 202
    finally:
        process.terminate()
        process.wait(20)
    assert json.loads(State(tmp_path).events(limit=1)[0].event.body)["ref"] == "refs/heads/main"


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
