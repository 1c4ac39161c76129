"""How many signed webhooks a second does the listener take, losing and doubling none?

A real server process stores into a real State while this process posts at a fixed rate over
loopback: `python tests/bench/intake.py [--rate 200] [--seconds 30]`. Exit code 1 where an event was
lost, doubled or refused, or the rate was not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import httpx

from touchstone.events import signature
from touchstone.runs.store import State

ROOT = Path(__file__).parents[2]
SECRET = b"a webhook secret"
SERVER = """
import sys, uvicorn
from pathlib import Path
from touchstone.events.listener import Listener
from touchstone.events.server import create_app
from touchstone.events.triggers import load_triggers
from touchstone.runs.store import State
listener = Listener(State(Path(sys.argv[1])), secrets=lambda name, key: b"a webhook secret",
                    triggers=load_triggers([Path(sys.argv[2])]))
uvicorn.run(create_app(listener), host="127.0.0.1", port=int(sys.argv[3]), log_level="error")
"""


def body(number: int) -> bytes:
    """A push that no other has."""
    push = {
        "ref": "refs/heads/main",
        "after": f"{number:040x}",
        "deleted": False,
        "repository": {
            "name": "m",
            "full_name": "me/m",
            "clone_url": "file:///srv/m.git",
            "default_branch": "main",
        },
        "head_commit": {"id": f"{number:040x}", "message": "Train longer"},
        "commits": [{"id": "x", "message": "m", "added": ["a.py"] * 20}],
    }
    return json.dumps(push).encode()


async def load(url: str, rate: int, seconds: int) -> tuple[list[float], list[int]]:
    """Post at `rate` a second; latencies in seconds and HTTP statuses."""
    latencies: list[float] = []
    statuses: list[int] = []
    connector = aiohttp.TCPConnector(limit=50)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def post(number: int) -> None:
            content = body(number)
            headers = {
                "content-type": "application/json",
                "x-github-event": "push",
                signature.HEADER: signature.sign(content, SECRET),
            }
            started = time.perf_counter()
            async with client.post(url, data=content, headers=headers) as answer:
                await answer.read()
            latencies.append(time.perf_counter() - started)
            statuses.append(answer.status)

        begin = time.perf_counter()
        tasks = []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(post(number)))
        await asyncio.gather(*tasks)
    return latencies, statuses


def main() -> int:
    """Run the load, print the figures, and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="events a second, at most 1000")
    parser.add_argument("--seconds", type=int, default=30, help="at most 60")
    options = parser.parse_args()
    rate, seconds = min(options.rate, 1000), min(options.seconds, 60)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        arguments = [folder, str(ROOT / "tekton" / "triggers"), str(port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SERVER, *arguments]
        with subprocess.Popen(command, env=environment) as server:
            try:
                url = f"http://127.0.0.1:{port}/"
                wait(url)
                started = time.perf_counter()
                latencies, statuses = asyncio.run(load(url, rate, seconds))
                took = time.perf_counter() - started
            finally:
                server.terminate()
        stored = [event.event_id for event in State(Path(folder)).pending_events()]
    sent = rate * seconds
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    refused = sum(status != 202 for status in statuses)
    sys.stdout.write(
        f"sent {sent} in {took:.1f} s ({sent / took:.0f}/s), stored {len(stored)}\n"
        f"lost {sent - len(stored)}, doubled {len(stored) - len(set(stored))}, refused {refused}\n"
        f"latency p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, max {latencies[-1]:.3f} s\n"
    )
    kept = len(stored) == len(set(stored)) == sent and set(statuses) == {202}
    return 0 if kept and took < seconds * 1.1 + 1 else 1


def wait(url: str) -> None:
    """Until the server answers, at most 30 seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}healthz", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the listener did not start within 30 s")


if __name__ == "__main__":
    sys.exit(main())
