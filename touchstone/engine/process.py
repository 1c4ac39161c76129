"""How does one step's process run, and how does everything it started end?

A step has a session of its own, so that a timeout or a stop reaches its children. Should the
engine itself be killed, a guard process, told of every group by a pipe, kills what is left.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from touchstone.errors import PlatformError

GRACE = 3.0
"""Seconds between asking a step to end and killing it."""

Ending = Literal["exited", "timeout", "halted"]

_GUARD = """
groups=" "
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
  esac
done
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
"""


@lru_cache(maxsize=1)
def shell() -> tuple[str, ...]:
    """What `sh` is here: bash, else busybox; dash rejects what Alpine's sh accepts.

    Raises PlatformError where neither is installed.
    """
    bash = shutil.which("bash")
    if bash:
        return (bash,)
    busybox = shutil.which("busybox")
    if busybox:
        return (busybox, "sh")
    raise PlatformError(
        "no shell for steps: got neither bash nor busybox on PATH", hint="install bash"
    )


class Halt:
    """A flag that also wakes every thread waiting for a process."""

    def __init__(self) -> None:
        self._event = os.eventfd(0)
        self.cause = ""
        """Empty until set: `stop` leaves the run resumable, anything else ends it."""

    def set(self, cause: str) -> None:
        """Raise the flag; the first cause stays."""
        if not self.cause:
            self.cause = cause
            os.eventfd_write(self._event, 1)

    def fileno(self) -> int:
        return self._event

    def __del__(self) -> None:
        os.close(self._event)


class Guard:
    """The process that outlives a killed engine just long enough to kill its steps."""

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [*shell(), "-c", _GUARD],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        os.close(reader)

    def watch(self, group: int) -> None:
        """From now on the group dies with the engine."""
        self._tell(f"+ {group}\n")

    def release(self, group: int) -> None:
        """The group has ended."""
        self._tell(f"- {group}\n")

    def close(self) -> None:
        """End the guard; groups still watched are killed."""
        with self._lock:
            if self._writer >= 0:
                os.close(self._writer)
                self._writer = -1
        self._process.wait()

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._writer >= 0:
                os.write(self._writer, line.encode())


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    code: int
    """Exit code; 128 + signal where a signal ended it, as a shell counts."""

    ending: Ending


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    deadline: float | None,
    halt: Halt,
    guard: Guard,
) -> Exit:
    """Run a process to its end, its output appended to `log`; kill its whole session after it.

    `deadline` is a time.monotonic() value. Raises OSError where the program cannot be started.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(output)
    guard.watch(process.pid)
    handle = os.pidfd_open(process.pid)
    try:
        ending = _wait(handle, deadline, halt)
        if ending != "exited":
            _signal(process.pid, signal.SIGTERM)
            _poll(handle, None, GRACE)
        # The leader is still unreaped, so its number cannot have passed to another group.
        _signal(process.pid, signal.SIGKILL)
    finally:
        os.close(handle)
    code = process.wait()
    guard.release(process.pid)
    return Exit(code if code >= 0 else 128 - code, ending)


def _wait(handle: int, deadline: float | None, halt: Halt) -> Ending:
    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
    ready = _poll(handle, halt, remaining)
    if handle in ready:
        return "exited"
    return "halted" if ready else "timeout"


def _poll(handle: int, halt: Halt | None, seconds: float | None) -> set[int]:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    if halt is not None:
        poller.register(halt.fileno(), select.POLLIN)
    return {item[0] for item in poller.poll(None if seconds is None else seconds * 1000)}


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def sweep(run_name: str, home: Path) -> int:
    """Kill processes that a killed engine left of this run; how many were found.

    A step that left its session is out of the guard's reach, but still carries the environment
    every step of the run is given.
    """
    wanted = {f"TOUCHSTONE_RUN={run_name}".encode(), f"TOUCHSTONE_HOME={home}".encode()}
    mine = _ancestors()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        try:
            environment = set((entry / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if wanted <= environment:
            found.append(int(entry.name))
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    limit = time.monotonic() + GRACE
    while any(_alive(pid) for pid in found) and time.monotonic() < limit:
        time.sleep(0.01)
    return len(found)


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _ancestors() -> set[int]:
    pids, pid = set(), os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids
