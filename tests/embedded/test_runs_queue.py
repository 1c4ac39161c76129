"""Models run side by side, one model's runs in turn; cancel reaches a run of any process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.engine import Engine
from touchstone.home import Home
from touchstone.runs.store import State


def free_ports():
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def manifest(name, repository, script):
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name,
            "annotations": {
                "touchstone.dev/repository": repository,
                "touchstone.dev/branch": "main",
            },
        },
        "spec": {
            "pipelineSpec": {
                "tasks": [
                    {
                        "name": "t",
                        "taskSpec": {"steps": [{"name": "s", "image": "bash", "script": script}]},
                    }
                ]
            }
        },
    }


def wait(condition, seconds=30):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    return Home.default()


def test_models_run_side_by_side_and_one_models_runs_in_turn(home, tmp_path):
    from touchstone.platform.addresses import Addresses
    from touchstone.platform.embedded import Platform, prepare
    from touchstone.runs.queue import Limits

    port = free_ports()
    addresses = Addresses(listener=port, serving=port + 1)
    prepare(home, addresses)
    state = State(home.root)
    script = f"echo $0 >> {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    for name, repository in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")):
        state.add_run(manifest(name, repository, script))
    platform = Platform(home, addresses, limits=Limits(2))
    thread = threading.Thread(target=platform.run)
    thread.start()
    try:
        began = tmp_path / "began"
        wait(lambda: home.platform() and began.exists() and len(began.read_text().split()) == 2)
        rows = json.loads(CliRunner().invoke(_app(), ["runs", "--json"]).stdout)
        told = {row["name"]: (row["status"], row["waits"]) for row in rows}
        assert {told["a1"][0], told["b1"][0]} == {"Running"}
        assert told["a2"] == ("Queued", "waits for a slot of model a: run a1 is before it")
        assert told["c1"] == ("Queued", "waits for a slot: runs a1, b1 are before it")
        status = json.loads(CliRunner().invoke(_app(), ["status", "--json"]).stdout)
        assert {run["name"]: run["waits"] for run in status["runs"]}["a2"] == told["a2"][1]
        (tmp_path / "go").touch()
        wait(lambda: not state.runs(done=False))
    finally:
        platform.stop()
        thread.join(30)
    assert not thread.is_alive()
    assert all(run.status["conditions"][0]["status"] == "True" for run in state.runs())


def test_a_request_runs_while_every_slot_of_the_engine_is_taken(tmp_path):
    state, go = State(tmp_path), tmp_path / "go"
    state.add_run(manifest("long", "m", f"until [ -e {go} ]; do sleep 0.05; done"))
    request = manifest("request", "m", "")
    request["kind"] = "TaskRun"
    request["metadata"]["annotations"] = {"touchstone.dev/unqueued": "true"}
    steps = [{"name": "s", "image": "bash", "script": f"touch {go}"}]
    request["spec"] = {"taskSpec": {"steps": steps}}
    state.add_run(request)
    engine = Engine(state, tmp_path, definitions=[], parallel=1)
    waiting = threading.Thread(target=engine.execute, args=("long",))
    waiting.start()
    wait(lambda: state.taskruns("long").get("long-t"))
    assert engine.execute("request")["conditions"][0]["status"] == "True"
    waiting.join(30)
    assert state.run("long").done


def test_cancel_of_what_ended_or_never_was_is_refused(home):
    state = State(home.root)
    state.add_run(manifest("r", "a", "true"))
    state.save_run("r", {}, done=True)
    for name in ("r", "nobody"):
        assert CliRunner().invoke(_app(), ["cancel", name]).exception.exit_code == 2


@pytest.mark.parametrize("mode", ["Cancelled", "CancelledRunFinally"])
def test_cancel_reaches_a_run_of_another_process(home, tmp_path, mode):
    run = manifest("long", "a", f"touch {tmp_path}/began; sleep 60")
    run["spec"]["pipelineSpec"]["finally"] = [
        {
            "name": "last",
            "taskSpec": {
                "steps": [{"name": "s", "image": "bash", "script": f"touch {tmp_path}/last"}]
            },
        }
    ]
    (tmp_path / "r.yaml").write_text(json.dumps(run))
    engine = subprocess.Popen(
        [sys.executable, "-m", "touchstone", "run", "-f", str(tmp_path / "r.yaml")],
        env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait((tmp_path / "began").exists)
    assert CliRunner().invoke(_app(), ["cancel", "long", "--mode", mode]).exception is None
    assert engine.wait(20) == 1
    (row,) = json.loads(CliRunner().invoke(_app(), ["runs", "--json"]).stdout)
    assert row["status"] == "Cancelled"
    assert (tmp_path / "last").exists() == (mode == "CancelledRunFinally")
