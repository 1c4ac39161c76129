"""CloudEvents reach the sink at least once, in order, through refusals, restarts and kill -9."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.errors import UsageError
from touchstone.runs import outbox
from touchstone.runs.store import State

RUN = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "r"}, "spec": {}}


class Sink:
    """A real HTTP server that answers with `answers`, then 200."""

    def __init__(self):
        self.got = []
        self.answers = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                code = sink.answers.pop(0) if sink.answers else 200
                if code == 200:
                    sink.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(code)
                self.end_headers()

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.server.shutdown()
    sink.server.server_close()


@pytest.fixture
def state(tmp_path, sink):
    state = State(tmp_path)
    outbox.set_sink(state, sink.url)
    return state


def running(state):
    condition = {"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": ""}
    state.save_run("r", {"conditions": [condition]}, done=False)


def test_events_go_out_in_binary_mode_and_in_order(state, sink):
    state.add_run(RUN)
    running(state)
    while outbox.deliver(state):
        continue
    types = [headers["ce-type"].split(".")[-2] for headers, _ in sink.got]
    assert types == ["queued", "started", "running"]
    headers, body = sink.got[0]
    assert headers["content-type"] == "application/json"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-subject"] == "r"
    assert json.loads(body)["pipelineRun"]["metadata"]["name"] == "r"
    assert [entry.state for entry in state.outbox()] == ["sent"] * 3


def test_what_is_refused_for_now_is_tried_again_later_and_before_its_followers(state, sink):
    state.add_run(RUN)
    running(state)
    sink.answers = [503, 429]
    now = time.time()
    assert outbox.deliver(state, now=now) == 0
    assert outbox.deliver(state, now=now) == 0  # its time has not come, and none overtakes it
    assert len(sink.answers) == 1
    assert outbox.deliver(state, now=now + 10) == 0
    assert outbox.deliver(state, now=now + 20) == 1
    assert sink.got[0][0]["ce-type"] == "dev.tekton.event.pipelinerun.queued.v1"
    assert state.outbox()[0].tries == 3


def test_what_is_refused_for_good_or_too_often_is_a_dead_letter_until_revived(
    state, sink, tmp_path, monkeypatch
):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path))
    state.add_run(RUN)
    running(state)
    sink.answers = [400, *[500] * outbox.TRIES]
    now = time.time()
    outbox.deliver(state, now=now)
    for _ in range(outbox.TRIES):
        now += 3600
        outbox.deliver(state, now=now)
    assert sink.answers == []
    dead = json.loads(CliRunner().invoke(_app(), ["outbox", "list", "--json"]).stdout)
    assert [(entry["state"], entry["tries"]) for entry in dead] == [
        ("dead", 1), ("dead", outbox.TRIES), ("pending", 0),
    ]  # fmt: skip
    assert "400" in dead[0]["error"]
    result = CliRunner().invoke(_app(), ["outbox", "retry", "--json", str(dead[0]["id"])])
    assert json.loads(result.stdout) == {"retried": 1}
    assert CliRunner().invoke(_app(), ["outbox", "retry", "99"]).exception.exit_code == 2
    outbox.deliver(state, now=now)
    assert sink.got[0][0]["ce-type"].endswith("queued.v1")
    waiting = len(state.outbox("pending"))
    result = CliRunner().invoke(_app(), ["outbox", "drop", "--json"])
    assert json.loads(result.stdout) == {"dropped": waiting}
    assert state.outbox("pending") == []


def test_an_event_that_no_header_can_hold_is_a_dead_letter_and_the_others_are_sent(state, sink):
    state.add_run(RUN)
    state.add_run({**RUN, "metadata": {"name": "other"}})
    with state.transaction() as connection:
        connection.execute(
            "UPDATE outbox SET attributes = json_set(attributes, '$.subject', ?) WHERE run = 'r'",
            ("\u4e2d\n",),
        )
    assert outbox.deliver(state) == 1
    assert {entry.run: entry.state for entry in state.outbox()} == {"r": "dead", "other": "sent"}


def test_nothing_is_sent_without_a_sink_and_an_odd_one_is_refused(state, sink):
    state.add_run(RUN)
    outbox.set_sink(state, "")
    assert outbox.deliver(state) == 0
    assert len(state.outbox("pending")) == 1
    assert outbox.drop(state) == 1
    assert state.outbox("pending") == []
    with pytest.raises(UsageError, match="expected an http"):
        outbox.set_sink(state, "ftp://x")


_PIPELINE = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: p}
spec:
  tasks:
    - {name: a, taskSpec: {steps: [{name: s, image: bash, script: "sleep 0.15"}]}}
    - {name: b, runAfter: [a], taskSpec: {steps: [{name: s, image: bash, script: "sleep 0.15"}]}}
    - {name: c, runAfter: [b], taskSpec: {steps: [{name: s, image: bash, script: "exit 1"}]}}
"""

_ENGINE = """
import sys, threading, time
from pathlib import Path
from touchstone.runs import outbox
from touchstone.engine import Engine
from touchstone.runs.store import State
home = Path(sys.argv[1])
state = State(home)
def send():
    while True:
        outbox.deliver(state) or time.sleep(0.01)
threading.Thread(target=send, daemon=True).start()
Engine(state, home, definitions=[home / "p.yaml"]).execute("r")
while state.outbox("pending"):
    time.sleep(0.02)
"""


def test_kill_9_at_any_moment_loses_no_event_and_doubles_only_ids(state, sink, tmp_path):
    (tmp_path / "p.yaml").write_text(_PIPELINE)
    state.add_run({**RUN, "spec": {"pipelineRef": {"name": "p"}}})
    command = [sys.executable, "-c", _ENGINE, str(tmp_path)]
    for delay in (0.35, 0.5, 0.65, 0.8):
        engine = subprocess.Popen(command)
        time.sleep(delay)
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
    subprocess.run(command, check=True, timeout=60)
    first = {}
    for headers, _ in sink.got:
        first.setdefault(headers["ce-id"], headers)
    told = defaultdict(list)
    for headers in first.values():
        kind, word = headers["ce-type"].split(".")[3:5]
        if word != "unknown":
            told[kind, headers["ce-subject"]].append(word)
    assert told == {
        ("pipelinerun", "r"): ["queued", "started", "running", "failed"],
        ("taskrun", "r-a"): ["queued", "started", "running", "successful"],
        ("taskrun", "r-b"): ["queued", "started", "running", "successful"],
        ("taskrun", "r-c"): ["queued", "started", "running", "failed"],
    }
