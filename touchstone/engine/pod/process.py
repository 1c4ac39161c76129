"""How does one step's process run, and how does everything it started end?

A small program of ours, the launcher, starts the processes: it can fork cheaply and give each its
own mounts and user. Each has a session of its own, so that a timeout or a stop reaches its
children. Should the engine be killed, the launcher kills what is left and ends too.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from touchstone.engine.pod.streams import Streams
from touchstone.errors import PlatformError
from touchstone.home import SHIPPED
from touchstone.runs import faults

GRACE = 3.0
"""Seconds between asking a step to end and killing it."""

SWITCH = "TOUCHSTONE_NAMESPACES"
"""Environment variable: `off` makes steps see this machine's own paths even where they need not."""

Ending = Literal["exited", "timeout", "halted"]

_LAUNCHER = Path(__file__).parents[1] / "launcher"


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

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether the flag is up."""
        return bool(_poll(self._event, None, seconds))

    def fileno(self) -> int:
        return self._event

    def __del__(self) -> None:
        if hasattr(self, "_event"):  # not where there was no descriptor for it
            os.close(self._event)


class Mount(NamedTuple):
    """A folder or file of this machine (`source`) where a process is to see it (`target`)."""

    target: str
    source: str = ""
    """A path without links. Empty for an empty folder that is gone when the process is."""

    read_only: bool = False
    identity: tuple[int, int] | None = None
    """Device and inode that the source must have; None where nobody can have exchanged it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A process ready to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    """Working folder, as the process sees it."""

    mounts: tuple[Mount, ...] | None = None
    """None leaves the process with this machine's own file system."""

    user: int | None = None
    group: int | None = None


_CALL_FIELDS = tuple(field.name for field in fields(Call))


class _Launcher:
    """One such program, and the socket to it."""

    def __init__(self, *words: str, flags: Sequence[str] = ("-I", "-S"), env: Mapping[str, str]):
        self._channel, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *flags, str(_LAUNCHER), str(theirs.fileno()), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env=env,
            )

    def close(self) -> None:
        """End it; processes it still knows are killed."""
        self._channel.close()
        self._process.wait()

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> dict[str, int]:
        """Its answer. Raises PlatformError where it is gone."""
        body = json.dumps(request).encode()
        with self._lock:
            try:
                socket.send_fds(self._channel, [struct.pack("!I", len(body))], descriptors)
                self._channel.sendall(body)
                (length,) = struct.unpack("!I", self._channel.recv(4, socket.MSG_WAITALL))
                answer: dict[str, int] = json.loads(self._channel.recv(length, socket.MSG_WAITALL))
            except (OSError, struct.error, ValueError):
                raise PlatformError(
                    "the program that starts steps is gone", hint="was it killed? start again"
                ) from None
        return answer


class Warm:
    """A launcher that has imported what our own scripts import: they start as forks of it.

    One serves all runs of a process. Where it was killed, scripts start as other programs do.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        # One thread, as a fork copies no other; and a GPU is asked for without waking CUDA, which
        # no fork could use then.
        only = {"OPENBLAS_NUM_THREADS": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        self._start = _of_the_start(environment)
        own = {**self._start, **only, "PATH": os.defpath}
        self._launcher = _Launcher("warm", flags=("-P",), env=own)
        self._alive = True

    def takes(self, call: Call, *, terminal: bool) -> bool:
        """Whether the call is a script of ours that differs from others in its arguments alone."""
        if not self._alive or terminal or call.argv[:2] != ("python", "-P"):
            return False
        python = shutil.which("python", path=call.environment.get("PATH", os.defpath))
        return (
            Path(call.argv[2]).parent == SHIPPED / "scripts"
            and python is not None
            and Path(python).parent == Path(sys.executable).parent
            and _of_the_start(call.environment) == self._start
        )

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> dict[str, int]:
        """As the launcher. Raises PlatformError where it is gone, for now and ever."""
        try:
            return self._launcher.ask(request, descriptors)
        except PlatformError:
            self._alive = False
            raise

    def close(self) -> None:
        self._alive = False
        self._launcher.close()


def _of_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that libraries read while they are loaded: no fork can have others."""
    return {
        name: value
        for name, value in environment.items()
        if name in _AT_START or name.startswith(_AT_START_PREFIXES)
    }


_AT_START = ("LANG", "LC_ALL", "LC_CTYPE")
_AT_START_PREFIXES = (
    "PYTHON", "LD_", "OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "NUMEXPR_", "CUDA_", "NVIDIA_",
    "TORCH", "PYTORCH_", "ATEN_", "NPY_", "MALLOC_", "GLIBC_", "MPL",
)  # fmt: skip


class Guard:
    """The launcher: starts the processes of one run, and kills them should the engine die."""

    def __init__(self, warm: Warm | None = None) -> None:
        self._own = _Launcher(env={})
        self._warm = warm
        self._forks: set[int] = set()
        """Processes of this run that the warm launcher started."""

    def start(self, call: Call, descriptors: Sequence[int], *, terminal: bool = False) -> Running:
        """Start a process with these descriptors as standard input, output and error.

        Raises OSError where it cannot be started as asked, PlatformError where the launcher died.
        """
        reader, writer = os.pipe()
        try:
            # By hand: dataclasses.asdict() copies every part, and takes longer than the rest here.
            request = {name: getattr(call, name) for name in _CALL_FIELDS}
            request |= {"terminal": terminal, "script": False}
            answer = self._started(request, call, [*descriptors, writer], terminal)
        finally:
            os.close(writer)
        with os.fdopen(reader, encoding="utf-8", errors="replace") as stream:
            complaint = stream.read()
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        try:
            running = Running(self, answer["pid"])
        except OSError:  # no descriptor left to watch it by
            _signal(answer["pid"], signal.SIGKILL)
            self.reap(answer["pid"])
            raise
        if complaint:
            running.end()
            raise OSError(complaint)
        return running

    def reap(self, pid: int) -> int:
        """The exit code of a process that ended; the signal that ended it as a negative number."""
        if pid in self._forks and self._warm:
            self._forks.discard(pid)
            try:
                return self._warm.ask({"reap": pid}, [])["code"]
            except PlatformError:
                return -signal.SIGKILL  # it ended with the launcher
        return self._own.ask({"reap": pid}, [])["code"]

    def without_namespaces(self) -> str:
        """Why processes cannot have mounts of their own here; empty where they can."""
        if os.environ.get(SWITCH) == "off":
            return f"{SWITCH} is off"
        return _why_not(self)

    def close(self) -> None:
        """End the launcher; processes of the run that it or the warm one still knows are killed."""
        for pid in [*self._forks]:
            _signal(pid, signal.SIGKILL)
            self.reap(pid)
        self._own.close()

    def _started(
        self, request: dict[str, Any], call: Call, descriptors: Sequence[int], terminal: bool
    ) -> dict[str, int]:
        if self._warm and self._warm.takes(call, terminal=terminal):
            try:
                answer = self._warm.ask({"start": request | {"script": True}}, descriptors)
            except PlatformError:
                pass  # an interpreter of its own does as well
            else:
                if "pid" in answer:
                    self._forks.add(answer["pid"])
                return answer
        return self._own.ask({"start": request}, descriptors)


_known_reason: dict[str, str] = {}


def _why_not(guard: Guard) -> str:
    """Try it once a process: whether the kernel lets us depends on the machine alone."""
    if not _known_reason:
        call = Call(argv=("true",), environment={}, folder="/", mounts=(Mount("/tekton"),))
        try:
            with Path(os.devnull).open("r+b") as nothing:
                guard.start(call, [nothing.fileno()] * 3).end()
            _known_reason["why"] = ""
        except OSError as error:
            if faults.passing(error):
                raise
            _known_reason["why"] = str(error)
    return _known_reason["why"]


class Running:
    """A process that was started; end() must be called once."""

    def __init__(self, guard: Guard, pid: int) -> None:
        self._guard, self.pid = guard, pid
        self._handle = os.pidfd_open(pid)

    def fileno(self) -> int:
        """Readable once the process ended."""
        return self._handle

    def wait(self, deadline: float | None, halt: Halt | None) -> Ending:
        """Wait until it ended, `deadline` (time.monotonic()) passed or `halt` was set."""
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = _poll(self._handle, halt, remaining)
        if self._handle in ready:
            return "exited"
        return "halted" if ready else "timeout"

    def ask_to_end(self) -> None:
        """Send SIGTERM to all of its session."""
        _signal(self.pid, signal.SIGTERM)

    def end(self) -> int:
        """Kill what is left of its session; its exit code, or minus the signal that ended it."""
        # The leader is still unreaped, so its number cannot have passed to another group.
        _signal(self.pid, signal.SIGKILL)
        _poll(self._handle, None, GRACE)
        os.close(self._handle)
        return self._guard.reap(self.pid)


def shell_code(code: int) -> int:
    """An exit code as shells and container runtimes write it: 128 + N after signal N."""
    return code if code >= 0 else 128 - code


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    code: int
    """Exit code; minus the signal's number where a signal ended it."""

    ending: Ending
    started: bool = True
    """Whether there was a process at all."""


def run(call: Call, *, streams: Streams, deadline: float | None, halt: Halt, guard: Guard) -> Exit:
    """Run a process to its end, its output going where `streams` says; kill its session after it.

    `deadline` is a time.monotonic() value. Raises OSError where the program cannot be started.
    """
    with streams as descriptors:
        running = guard.start(call, descriptors)
        streams.started()
        ending = running.wait(deadline, halt)
        if ending != "exited":
            running.ask_to_end()
            running.wait(time.monotonic() + GRACE, None)
        code = running.end()
    return Exit(code, ending)


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
