"""What stands in front of a model: a fixed set of routes, and no request lost at a switch."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from model_servers import Stub, proxy_in, scripted, served

from touchstone.delivery import envoy
from touchstone.delivery import proxy as rules
from touchstone.delivery.envoy import Proxy
from touchstone.delivery.proxy import Target
from touchstone.errors import DeadlineError, PlatformError

LONG = "a-model.of_63-characters." + "x" * 38


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A proxy with one model in one environment, one that starts and one that did not."""
    stub = Stub()
    with proxy_in(tmp_path_factory.mktemp("proxy")) as proxy, served(stub) as target:
        proxy.put(target)
        proxy.expect(
            {
                ("staging", "tiny"): False,
                ("staging", "new"): False,
                ("production", LONG): False,
                ("production", "bad"): True,
            }
        )
        proxy.stub = stub
        yield proxy


@pytest.fixture
def asked(world):
    """What reached the model in this test."""
    world.stub.asked.clear()
    return world.stub.asked


@pytest.fixture
def short():
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


def send(port, data, seconds=3.0):
    """Raw bytes to the proxy; status and JSON of its first answer, whether it closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        client.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = client.recv(65536)
            if not part:
                raise AssertionError(f"closed without an answer after {answer!r}")
            answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if b"content-length" in line
        )
        while len(body) < length:
            body += client.recv(65536)
        return int(head.split()[1]), json.loads(body[:length])


def request(method, target, *headers, body=b"{}"):
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@pytest.mark.parametrize("prefix", ["", "/staging"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/tiny:predict"),
        ("POST", "/v1/models/tiny:explain"),
        ("POST", "/v2/models/tiny/infer"),
        ("GET", "/v1/models/tiny"),
        ("GET", "/v2/models/tiny"),
        ("GET", "/v2/models/tiny/ready"),
    ],
)
def test_each_route_reaches_the_model_by_its_own_path(world, asked, prefix, method, path):
    answer = httpx.request(method, world.url + prefix + path)
    assert answer.status_code == 200
    assert answer.headers["x-touchstone-version"] == "1"
    assert answer.headers["x-touchstone-environment"] == "staging"
    assert [one[:2] for one in asked] == [(method, path)]


UNLOAD = "v2/repository/models/tiny/unload"


@pytest.mark.parametrize(
    "target",
    [
        f"/{UNLOAD}",
        f"/v1/models/../../{UNLOAD}",
        f"/staging/v1/models/../../../{UNLOAD}",
        f"/v1/models/%2e%2e/%2E./{UNLOAD}",
        f"/v1/models/..%2f..%2f{UNLOAD}",
        f"/v1/models/..%5c..%5c{UNLOAD}",
        f"/v1/models\\..\\..\\{UNLOAD}",
        "//v2//repository//models//tiny//unload",
        f"/v1/models/tiny/../../../{UNLOAD}",
        f"/v1/models/%252e%252e/%252e%252e/{UNLOAD}",
        f"/v1/models/tiny:predict/../../../{UNLOAD}",
        f"/v1/models/tiny:predict;/../../../{UNLOAD}",
        f"/v1/models/tiny?x=/../../../{UNLOAD}",
        f"/v1/models/tiny:predict#/../../../{UNLOAD}",
        f"/v1/models/tiny%00/../../../{UNLOAD}",
        f"/v1/models/tiny%0d%0aX: y/../{UNLOAD}",
        f"http://localhost/{UNLOAD}",
        f"http://localhost/v1/models/../../{UNLOAD}",
        "/v2/repository/models/tiny/load",
        "/v2/repository/index",
        "/V2/REPOSITORY/MODELS/TINY/UNLOAD",
        "/v1/models/tiny/../tiny/unload",
        "/v2/models/tiny/infer/../../../repository/models/tiny/unload",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/v2",
        "/v1/models",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_spelling_of_a_path_reaches_what_is_not_offered(world, asked, method, target):
    status, answer = send(world.port, request(method, target))
    assert status in (400, 404, 405)
    assert "expected" in answer["error"]
    assert [one[1] for one in asked] == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models/other/../tiny:predict",
        "//v1//models//tiny:predict",
        "/v1/%6dodels/tiny:predict",
        "/v1\\models\\tiny:predict",
        "http://localhost:1/v1/models/tiny:predict",
    ],
)
def test_another_spelling_of_a_route_is_that_route_to_the_model(world, asked, target):
    with socket.create_connection(("127.0.0.1", world.port), timeout=3) as client:
        client.sendall(request("POST", target))
        client.recv(65536)
    assert [one[1] for one in asked if one[0] == "POST"] == ["/v1/models/tiny:predict"]


@pytest.mark.parametrize(
    "target",
    ["/v1/models/tiny:predict?a=b", "/v1/models/tiny:predict;v=1", "/v1/models/TINY:predict"]
    + ["/v1/models/tiny:predict/", "/v1/models/tiny%3Apredict", "/staging/staging/v1/models/tiny"],
)
def test_what_is_nearly_a_route_is_none(world, asked, target):
    status, answer = send(world.port, request("POST", target))
    assert status in (400, 404, 405)
    assert answer["error"].startswith("got POST ")
    assert asked == []


HEAD = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\n"
NEXT = b"POST /v2/repository/models/tiny/unload HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + NEXT, 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 90\r\n\r\n{}" + NEXT, 400),
        (HEAD + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 0x2\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        (HEAD + b"X-A: a\x00b\r\n\r\n", 400),
        (HEAD + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(100)) + b"\r\n", 431),
        (HEAD + b"Content-Length: 99999999999\r\n\r\n{}", 413),
        (HEAD + b"Content-Length: 33554433\r\n\r\n{}", 413),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"GET / HTTP/1.0\r\n\r\n", 426),
        (b"GET \\v1\\models\\tiny HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"X /v1/models/tiny HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", 403),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (
            b"GET /v1/models/tiny HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YQ==\r\n\r\n",
            403,
        ),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(world, asked, data, status):
    got, answer = send(world.port, data)
    assert got == status
    assert answer["error"].startswith("got ")
    assert "expected" in answer["error"]
    time.sleep(0.05)
    assert asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_another_method_is_refused_with_the_one_that_was_expected(world, asked, method):
    answer = httpx.request(method, world.url + "/v1/models/tiny:predict")
    error = {"error": f"got {method} /v1/models/tiny:predict: expected POST"}
    assert answer.status_code == 405
    assert method == "HEAD" or answer.json() == error
    assert asked == []


def test_a_folded_header_reaches_the_model_as_one_line(world, asked):
    status = send_for_status(world.port, HEAD + b"X-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}")
    assert status == 200
    assert asked[0][3]["x-a"] == "a b"


def send_for_status(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=3) as client:
        client.sendall(data)
        return int(client.recv(65536).split()[1])


def test_credentials_and_what_concerns_one_connection_do_not_reach_the_model(world, asked):
    mine = {
        "authorization": "Bearer secret",
        "cookie": "session=secret",
        "proxy-authorization": "Basic secret",
        "te": "trailers",
        "keep-alive": "timeout=5",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-retry-on": "5xx",
        "x-envoy-max-retries": "9",
        "x-forwarded-host": "kept",
    }
    answer = httpx.post(world.url + "/v1/models/tiny:predict", json={}, headers=mine)
    assert answer.status_code == 200
    ((_, _, _, headers),) = asked
    assert set(mine) & set(headers) == {"x-forwarded-host"}
    assert headers["host"] == "tiny"


def test_a_model_tells_a_browser_nothing_and_does_not_name_its_version(world):
    answer = httpx.post(world.url + "/v1/models/tiny:predict", json={})
    told = {"set-cookie", "access-control-allow-origin", "clear-site-data"}
    assert told & set(answer.headers) == set()
    assert answer.headers.get_list("x-touchstone-version") == ["1"]


def test_a_body_over_the_limit_is_refused_and_at_the_limit_it_is_taken(world, asked):
    def parts(size):
        return iter([bytes(1 << 20)] * (size >> 20) + [bytes(size % (1 << 20))])

    url = world.url + "/v1/models/tiny:predict"
    assert httpx.post(url, content=parts(rules.LIMIT), timeout=30).status_code == 200
    assert asked.pop()[2] == rules.LIMIT
    refused = httpx.post(url, content=parts(rules.LIMIT + (1 << 20)), timeout=30)
    assert refused.status_code == 413
    assert "expected a body of at most 33554432 bytes" in refused.json()["error"]
    assert asked == []


def test_what_is_not_served_is_told_from_what_does_not_exist(world):
    for path in ("/v1/models/other", "/production/v2/models/tiny", "/v2/models/tiny.b/ready"):
        answer = httpx.get(world.url + path)
        error = {"error": f"got GET {path}: no such model is served; GET / lists those that are"}
        assert (answer.status_code, answer.json()) == (404, error)
    answer = httpx.get(world.url + "/v3/models/tiny")
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("got GET /v3/models/tiny: expected GET /, or ")


@pytest.mark.parametrize(
    ("path", "again", "said"),
    [
        ("/v1/models/new", "2", "its revision is starting; ask again"),
        ("/staging/v2/models/new/ready", "2", "its revision is starting; ask again"),
        ("/production/v1/models/bad", "30", "its revision did not start, and is tried again"),
        ("/v2/models/bad", "30", "its revision did not start, and is tried again"),
        ("/production/v1/models/new", None, "no such model is served"),
        ("/v1/models/newer", None, "no such model is served"),
        (f"/production/v1/models/{LONG}", "2", "its revision is starting; ask again"),
    ],
)
def test_of_a_model_that_is_to_come_a_client_learns_when_to_ask_again(world, path, again, said):
    answer = httpx.get(world.url + path)
    assert answer.status_code == (503 if again else 404)
    assert answer.headers.get("retry-after") == again
    assert answer.json()["error"].startswith(f"got GET {path}: {said}")
    assert httpx.post(world.url + "/v1/models/new:predict").status_code == 503


def test_until_it_is_known_what_shall_be_served_no_model_is_said_to_be_none(tmp_path):
    with proxy_in(tmp_path) as proxy:
        answer = httpx.get(proxy.url + "/v1/models/any")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        proxy.expect({})
        assert httpx.get(proxy.url + "/v1/models/any").status_code == 404


def test_health_says_whether_anything_is_served(world, tmp_path):
    for state in ("live", "ready"):
        assert httpx.get(f"{world.url}/v2/health/{state}").json() == {state: True}
    with proxy_in(tmp_path) as empty:
        assert httpx.get(empty.url + "/v2/health/live").status_code == 200
        answer = httpx.get(empty.url + "/v2/health/ready")
        assert answer.status_code == 503
        assert answer.json()["error"].endswith("no revision of any model is ready")
        assert httpx.get(empty.url).json() == {"serving": []}


def test_the_most_recently_put_environment_answers_where_none_is_named(tmp_path):
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        for environment in ("staging", "production"):
            stub = Stub(f"of-{environment}")
            proxy.put(stack.enter_context(served(stub, environment=environment)))

        def version(prefix):
            return httpx.get(f"{proxy.url}{prefix}/v1/models/tiny").json()["version"]

        assert [version(""), version("/staging")] == ["of-production", "of-staging"]
        proxy.expect({})
        proxy.remove("production", "tiny")
        assert version("") == "of-staging"
        assert httpx.get(proxy.url + "/production/v1/models/tiny").status_code == 404
        assert [one["environment"] for one in httpx.get(proxy.url).json()["serving"]] == ["staging"]


@pytest.mark.parametrize("name", ["a/b", "a?b", "a b", "", "a\r\nx: y", "ä", "a%b"])
def test_a_name_that_would_be_another_route_is_no_target(name, tmp_path):
    with pytest.raises(PlatformError, match="expected letters"):
        Target(environment=name, model="tiny", version="1", socket=tmp_path / "s")


def test_a_slow_client_is_ended_and_holds_no_place_in_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "REQUEST_SECONDS", 1)
    stub = Stub()
    with proxy_in(tmp_path) as proxy, served(stub) as target:
        proxy.put(target)
        started = time.monotonic()
        status, answer = send(proxy.port, HEAD + b"Content-Length: 4\r\n\r\n{", seconds=5)
        assert status == 408
        assert "expected the whole request within 1 s" in answer["error"]
        assert 0.8 < time.monotonic() - started < 4
        assert stub.asked == []


def test_more_clients_than_may_be_are_closed_and_a_switch_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "CONNECTIONS", 20)
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        held = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)]
        stack.callback(lambda: [one.close() for one in held])
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=3) as more:
            assert more.recv(1) == b""
        proxy.put(stack.enter_context(served(Stub("2"))))
        held.pop().close()
        time.sleep(0.2)
        assert httpx.get(proxy.url + "/v1/models/tiny").json() == {"version": "2"}


def test_as_many_requests_as_clients_may_be_are_answered(tmp_path):
    with proxy_in(tmp_path) as proxy, served(Stub(wait=1.0)) as target:
        proxy.put(target)
        with ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
                for _ in range(rules.CONNECTIONS)
            ]
            for client in clients:
                client.sendall(request("POST", "/v1/models/tiny:predict"))
            assert {client.recv(12) for client in clients} == {b"HTTP/1.1 200"}


def test_bodies_that_would_fill_the_memory_are_refused_and_the_proxy_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "HEAP", 96 << 20)
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        proxy.put(stack.enter_context(served(Stub())))
        pid, clients, refused = proxy.pid, [], 0
        for _ in range(6):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            client.settimeout(1)
            clients.append(client)
            try:
                client.sendall(HEAD + b"Content-Length: 33554432\r\n\r\n" + bytes(24 << 20))
            except OSError:
                refused += 1  # no longer read, or ended
        assert refused
        for client in clients:
            client.close()
        time.sleep(0.5)
        assert proxy.pid == pid
        assert httpx.get(proxy.url + "/v1/models/tiny").status_code == 200


def test_a_request_that_a_revision_has_read_is_not_asked_a_second_time(tmp_path, short):
    with proxy_in(tmp_path) as proxy, scripted(short, b"") as (target, taken):
        proxy.put(target)
        answer = httpx.post(proxy.url + "/v1/models/tiny:predict", json={})
        assert answer.status_code == 503
        assert "the revision cannot be reached, or ended" in answer.json()["error"]
        assert answer.headers["retry-after"] == "2"
        assert len(taken) == 1


def test_a_kept_connection_that_died_between_requests_costs_no_request(tmp_path, short):
    """The server closes after each answer, against what it said; the next is sent anew.

    Between them the close has time to arrive: a request that crosses it is lost, since it may have
    been read. Servers that keep their word are left first (`idle_timeout`).
    """
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with proxy_in(tmp_path) as proxy, scripted(short, plain) as (target, taken):
        proxy.put(target)
        with httpx.Client(base_url=proxy.url) as client:
            answers = []
            for _ in range(300):
                answers.append(client.post("/v1/models/tiny:predict", json={}))
                time.sleep(0.005)
        assert {one.status_code for one in answers} == {200}
        assert len(taken) == 300


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (
            OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            {502, 503},
        ),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", {502, 503}),
        (OK + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", {502, 503}),
        (OK + b"X-A: a\x00b\r\n\r\n", {502, 503}),
        (b"\x00" * 1000, {502, 503}),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, {502, 503}),
        (
            OK + b"Content-Length: 2\r\n\r\n{}" + OK + b"Content-Length: 6\r\n\r\nforged",
            {200, 502, 503},
        ),
    ],
)
def test_a_models_broken_answer_reaches_no_client_and_no_other_request(
    tmp_path, short, answer, statuses
):
    with proxy_in(tmp_path) as proxy, scripted(short, answer) as (target, _):
        proxy.put(target)
        pid = proxy.pid
        with httpx.Client(base_url=proxy.url) as client:
            for _ in range(3):
                got = client.post("/v1/models/tiny:predict", json={})
                assert got.status_code in statuses
                assert "forged" not in got.text
                assert got.status_code == 200 or "error" in got.json()
        assert proxy.pid == pid


def test_a_model_that_switches_protocols_gets_no_tunnel(tmp_path, short):
    switched = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nforged"
    with proxy_in(tmp_path) as proxy, scripted(short, switched) as (target, taken):
        proxy.put(target)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=3) as client:
            client.sendall(request("POST", "/v1/models/tiny:predict"))
            assert b"upgrade" not in client.recv(65536).lower()
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b'{"serving": [' in client.recv(65536)
        assert len(taken) == 1


def test_a_request_under_way_is_answered_by_the_revision_that_took_it(tmp_path):
    slow, quick = Stub("slow", wait=1.0), Stub("quick")
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        first = stack.enter_context(served(slow))
        proxy.put(first)
        answers = []
        url = proxy.url + "/v1/models/tiny:predict"
        thread = threading.Thread(target=lambda: answers.append(httpx.post(url, json={})))
        thread.start()
        while not slow.asked:
            time.sleep(0.01)
        proxy.put(stack.enter_context(served(quick)))
        assert httpx.post(url, json={}).json() == {"version": "quick"}
        assert answers == []
        proxy.drain(first)
        assert not thread.join(0.5)
        assert [one.json() for one in answers] == [{"version": "slow"}]


def test_a_request_that_still_arrives_keeps_its_revision(tmp_path):
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        first = stack.enter_context(served(Stub("1")))
        proxy.put(first)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
        client.sendall(HEAD + b"Content-Length: 2\r\n\r\n{")
        time.sleep(0.2)
        proxy.put(stack.enter_context(served(Stub("2"))))
        drained = threading.Thread(target=proxy.drain, args=(first,))
        drained.start()
        drained.join(1)
        assert drained.is_alive()
        client.sendall(b"}")
        assert b"x-touchstone-version: 1\r\n" in client.recv(65536)
        drained.join(5)
        assert not drained.is_alive()


@pytest.mark.long
def test_of_2400_predictions_through_eight_switches_none_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "REQUEST_SECONDS", 3)  # how long a switch under load takes
    answers, stop = [], threading.Event()
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        targets, ends = [], []

        def switch(number):
            end = ExitStack()
            targets.append(end.enter_context(served(Stub(str(number), wait=0.25))))
            ends.append(end)
            proxy.put(targets[-1])

        async def client(fresh):
            closing = ["Connection: close"] if fresh else []
            whole = request("POST", "/v1/models/tiny:predict", *closing)
            reader = writer = None
            while not stop.is_set():
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.write(whole)  # in one piece: it cannot be this process that is slow
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(re.search(rb"content-length: (\d+)", head)[1])
                answers.append((head[:12], await reader.readexactly(length)))
                if b"connection: close" in head:
                    writer.close()
                    writer = None

        async def clients():
            await asyncio.gather(*(client(number % 2) for number in range(80)))

        switch(0)
        asking = stack.enter_context(ThreadPoolExecutor()).submit(lambda: asyncio.run(clients()))
        stack.callback(stop.set)
        number = 0
        while not asking.done() and (len(answers) < 2400 or number < 8):
            number += 1
            switch(number)
            proxy.drain(targets[number - 1])
            ends[number - 1].close()
        stop.set()
        asking.result()
        ends[-1].close()
    assert [one for one in answers if one[0] != b"http/1.1 200"] == []
    assert len(answers) >= 2400
    assert len({body for _, body in answers}) >= 8


def test_the_answer_comes_from_the_revision_that_was_put_as_soon_as_put_returns(tmp_path):
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        for number in range(8):
            proxy.put(stack.enter_context(served(Stub(str(number)))))
            answer = httpx.get(proxy.url + "/v1/models/tiny")
            assert answer.json() == {"version": str(number)}


def test_where_envoy_takes_up_nothing_the_revision_before_goes_on_and_the_next_is_taken(
    tmp_path, monkeypatch
):
    with ExitStack() as stack:
        proxy = stack.enter_context(proxy_in(tmp_path))
        proxy.put(stack.enter_context(served(Stub("1"))))
        second = stack.enter_context(served(Stub("2")))
        with monkeypatch.context() as broken:
            broken.setattr(envoy, "_CHANGE_SECONDS", 0.5)
            broken.setattr(rules, "ANSWER_SECONDS", -1)  # no duration that Envoy knows
            with pytest.raises(DeadlineError, match="took up no routes within 0.5 s"):
                proxy.put(second)
            assert httpx.get(proxy.url + "/v1/models/tiny").json() == {"version": "1"}
        proxy.put(second)
        assert httpx.get(proxy.url + "/v1/models/tiny").json() == {"version": "2"}


def test_a_proxy_that_was_killed_is_started_again_with_what_it_served(tmp_path):
    with proxy_in(tmp_path) as proxy, served(Stub()) as target:
        proxy.put(target)
        os.kill(proxy.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                if httpx.get(proxy.url + "/v1/models/tiny").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("it did not come back")


def test_the_proxy_ends_with_the_platform_even_by_kill_9(tmp_path, short):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from touchstone.delivery.envoy import Proxy\n"
        "root = Path(sys.argv[1])\n"
        "proxy = Proxy(folder=root, sockets=Path(sys.argv[2]), log=root / 'log', port=0)\n"
        "proxy.start(); print(proxy.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(short)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as platform:
        pid = int(platform.stdout.readline())
        platform.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_a_port_that_is_taken_is_an_error_that_says_so(world, tmp_path, short):
    proxy = Proxy(folder=tmp_path, sockets=short, log=tmp_path / "log", port=world.port)
    with pytest.raises(PlatformError, match="Address already in use") as caught:
        proxy.start()
    assert f"port {world.port}" in caught.value.hint
    assert proxy.pid is None


def test_the_proxys_own_doors_are_open_to_us_alone(world):
    import psutil

    listening = [
        one.laddr
        for one in psutil.Process(world.pid).connections(kind="inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert [(one.ip, one.port) for one in listening] == [("127.0.0.1", world.port)]
    for path in (world._admin, world._control):
        assert path.stat().st_mode & 0o777 == 0o600
    environment = Path(f"/proc/{world.pid}/environ").read_bytes()
    assert environment in (b"", b"LC_CTYPE=C.UTF-8\0")  # Python's own
