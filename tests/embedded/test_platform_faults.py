"""What the machine lacks for a while stops no thread of the platform and loses nothing.

Each lack is real: a full disk, descriptors, processes and address space taken from the running
platform from outside.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from event_samples import push
from waiting import free_ports, until

from touchstone.events import signature
from touchstone.home import Home
from touchstone.runs import record
from touchstone.runs.store import State

pytestmark = pytest.mark.long

DISK_AT = {"volumeMounts": [{"name": "disk", "mountPath": "/disk"}]}
DISK = 32 << 20
"""Bytes of the disk that the platform's folder lies on."""


@dataclass
class Up:
    """A platform in a process of its own."""

    home: Home
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def state(self) -> State:
        return State(self.home.root)

    def post(self, *, size: int = 0) -> int:
        """The answer to a signed push that was never sent before; 0 where there is none."""
        after = f"{time.time_ns():040x}"
        document = push(ref="refs/heads/other", after=after, padding="x" * size)
        body = json.dumps(document).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": "push",
            signature.HEADER: signature.sign(body, self.home.webhook_token.read_bytes()),
        }
        url = f"http://127.0.0.1:{self.port}/"
        try:
            with httpx.Client(trust_env=False, timeout=10) as client:
                return client.post(url, content=body, headers=headers).status_code
        except httpx.HTTPError:
            return 0

    def start(self, name: str, *scripts: str) -> None:
        """Store a run of these scripts, one task after the other."""
        tasks = [
            {
                "name": f"t{number}",
                "runAfter": [f"t{number - 1}"] if number else [],
                "taskSpec": {
                    "volumes": [{"name": "disk", "emptyDir": {}}],
                    "steps": [{"name": "s", "image": "bash", "script": script, **DISK_AT}],
                },
            }
            for number, script in enumerate(scripts)
        ]
        self.state.add_run(
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": name},
                "spec": {"pipelineSpec": {"tasks": tasks}},
            }
        )

    def ended(self, name: str, seconds: float = 60) -> tuple[str, str]:
        """Reason and message of the run once it ended."""
        until(lambda: self._done(name), seconds, f"{name} does not end: {self.told()}")
        condition = record.succeeded_condition(self.state.run(name).status)
        return condition["reason"], condition["message"]

    def _done(self, name: str) -> bool:
        assert self.process.poll() is None, self.told()
        run = self.state.run(name)
        return run is not None and run.done

    def told(self) -> str:
        """The last lines of the platform's log."""
        return self.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    log = tmp_path_factory.mktemp("log") / "log"
    port = free_ports()
    home = Home(folder / "home")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "touchstone", "up", "--port", str(port), "--parallel", "2"],
            env={**os.environ, "TOUCHSTONE_HOME": str(home.root)},
            stdout=stream,
            stderr=stream,
        )
    here = Up(home, port, process, log)
    try:
        until(lambda: home.platform() is not None, 60, "the platform does not start")
        yield here
        assert process.poll() is None, here.told()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _alive(up: Up) -> Iterator[None]:
    """Before and after each test the platform takes events and runs runs."""
    assert up.post() == 202, up.told()
    yield
    name = f"after-{time.time_ns()}"
    up.start(name, "true")
    assert up.ended(name)[0] == "Succeeded"
    until(lambda: up.post() == 202, 10, up.told())


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while stream.write(b"x" * size):
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_disk_stops_nothing_for_good_and_loses_no_step(up, tmp_path):
    marks, go = tmp_path / "marks", tmp_path / "go"
    waits = f"echo one >> {marks}; until [ -e {go} ]; do sleep 0.05; done"
    up.start("full", waits, f"echo two >> {marks}")
    until(marks.exists, 30, "the run does not start")
    with _full(up.home.root.parent):
        up.state.path.stat()
        assert up.post(size=500_000) == 503
        go.touch()
        time.sleep(4)
        assert up.process.poll() is None, up.told()
        assert up.post(size=500_000) == 503
    assert up.ended("full")[0] == "Succeeded"
    assert marks.read_text().split() == ["one", "two"], "no step ran twice"
    assert up.post(size=500_000) == 202
    assert "No space left" in up.told() or "full" in up.told()


def test_a_run_that_is_stored_while_the_disk_is_full_runs_once_there_is_room(up, tmp_path):
    up.start("before", f"echo ran >> {tmp_path}/marks")
    with _full(up.home.root.parent):
        time.sleep(3)
        assert up.process.poll() is None, up.told()
    assert up.ended("before")[0] == "Succeeded"
    assert (tmp_path / "marks").read_text().split() == ["ran"]


def test_a_step_that_fills_the_disk_fails_and_nothing_else(up):
    up.start("filler", "dd if=/dev/zero of=/disk/fill bs=1M")
    reason, message = up.ended("filler")
    assert (reason, "Failed: 1" in message) == ("Failed", True), message


def test_a_step_that_takes_all_its_memory_fails_and_nothing_else(up):
    program = "bytearray(10**10)"
    up.start("eater", f"ulimit -v 500000; {sys.executable} -c '{program}'")
    assert up.ended("eater")[0] == "Failed"


def test_a_step_that_kills_what_started_it_ends_its_own_run(up):
    up.start("killer", "kill -9 $PPID")
    reason, message = up.ended("killer")
    assert reason == "Failed", message
    status = up.state.taskruns("killer")["killer-t0"]
    condition = record.succeeded_condition(status)
    assert condition["reason"] == "InternalError", status
    assert "the program that starts steps is gone" in condition["message"]


@contextmanager
def _taken(up: Up, spare: int) -> Iterator[None]:
    """All of the platform's descriptors but `spare` are held by clients that say nothing."""
    pid, kind = up.process.pid, resource.RLIMIT_NOFILE
    soft, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (150, hard))
    try:
        with ExitStack() as stack:
            while len(list(Path(f"/proc/{pid}/fd").iterdir())) < 150 - spare:
                address = ("127.0.0.1", up.port)
                stack.enter_context(socket.create_connection(address)).sendall(b"POST")
                time.sleep(0.01)
            yield
    finally:
        resource.prlimit(pid, kind, (soft, hard))


@pytest.mark.parametrize("spare", [0, 4, 8, 16])
def test_too_many_open_files_postpone_what_needs_one(up, tmp_path, spare):
    name = f"files-{spare}"
    with _taken(up, spare):
        up.start(name, f"echo one >> {tmp_path}/marks", f"echo two >> {tmp_path}/marks")
        for _ in range(4):
            assert up.post() in (0, 202, 503)
            time.sleep(0.5)
        assert up.process.poll() is None, up.told()
    ended = up.ended(name)
    assert ended[0] == "Succeeded", json.dumps(up.state.taskruns(name))
    assert set((tmp_path / "marks").read_text().split()) == {"one", "two"}


def _emptied(group: Path) -> bool:
    for process in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):  # it ended meanwhile
            (group.parent / "cgroup.procs").write_text(process)
    return not (group / "cgroup.procs").read_text()


def test_no_room_for_another_process_or_thread_postpones_what_needs_one(up, tmp_path):
    group = Path("/sys/fs/cgroup/pids") / f"touchstone-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(up.process.pid))
    except OSError as error:
        pytest.skip(f"the number of processes cannot be limited here: {error}")
    try:
        (group / "pids.max").write_text((group / "pids.current").read_text())
        up.start("processes", f"echo ran >> {tmp_path}/marks")
        time.sleep(4)
        assert up.process.poll() is None, up.told()
        assert not up.state.run("processes").done
        (group / "pids.max").write_text("max")
        assert up.ended("processes")[0] == "Succeeded", up.told()
        assert (tmp_path / "marks").read_text().split() == ["ran"]
    finally:
        (group / "pids.max").write_text("max")
        until(lambda: _emptied(group), 10, "the group is in use")
        group.rmdir()


def test_a_push_that_could_not_be_announced_is_announced_within_ten_seconds(up, tmp_path):
    known = len(up.state.events(limit=1000))
    body = json.dumps(push(ref="refs/heads/other", after=f"{time.time_ns():040x}"))
    waiting = {"event": "push", "delivery": "1", "body": body}
    (tmp_path / "waiting.json").write_text(json.dumps(waiting))
    shutil.move(tmp_path / "waiting.json", up.home.spool / "1-waiting.json")
    until(lambda: not list(up.home.spool.glob("*.json")), 20, "the spool is not emptied")
    assert len(up.state.events(limit=1000)) == known + 1
