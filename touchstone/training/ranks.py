"""How do the processes that train together start on one machine, and what if one is lost?

    python -m touchstone.training.ranks --workers N [--max-restarts M] -- COMMAND [ARGUMENT ...]

The ranks find each other through a file in a folder that their user alone can enter, made anew for
each attempt, and talk over loopback. So a training opens no port to the network, and nothing that
comes through a port is unpickled: torch elastic's store listens on every interface and does both.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from touchstone.confine.inside import kernel

RENDEZVOUS = "TOUCHSTONE_RENDEZVOUS"
"""Environment variable: the file through which the ranks of one machine find each other."""

GRACE = 30.0
"""Seconds that ranks have between SIGTERM and being killed."""

_ABANDONED = 5.0
"""The same once one of them has failed: the others can only wait for it."""

_LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "=lo", "NCCL_IB_DISABLE": "1"}


def run(
    command: Sequence[str], *, workers: int, env: Mapping[str, str], max_restarts: int = 0
) -> int:
    """Run `command` as `workers` ranks with this process's output, to the end of all of them.

    Each finds RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE in its environment, and where
    there are several, `RENDEZVOUS`. SIGTERM is handed down. Once one rank fails the others are
    ended; where a signal killed it (SIGTERM aside), all are started again, at most `max_restarts`
    times: they go on from their checkpoint. No rank, nor its process group, outlives the call,
    and no rank this process. Only the main thread may call.

    Returns:
        0, or the exit code of the rank that failed first; 128 + the signal's number for a rank
        that a signal ended, and where the ranks had to be killed after a SIGTERM.
    """
    with _Stop() as stop:
        for restarts in range(max_restarts + 1):
            with tempfile.TemporaryDirectory(prefix="touchstone-ranks-") as folder:
                rank, code = _attempt(command, workers, env, Path(folder) / "rendezvous", stop)
            if code >= 0 or code == -signal.SIGTERM or stop.asked or restarts == max_restarts:
                break
            sys.stderr.write(
                f"rank {rank} was lost ({signal.Signals(-code).name}); all {workers} start again "
                f"from the last checkpoint ({restarts + 1} of at most {max_restarts} times)\n"
            )
            sys.stderr.flush()
    return code if code >= 0 else 128 - code


class _Stop:
    """Has SIGTERM come? Wakes whoever polls it."""

    def __init__(self) -> None:
        self.asked = False
        self._event = os.eventfd(0)
        self._before: Any = None

    def __enter__(self) -> _Stop:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
        os.close(self._event)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        os.eventfd_write(self._event, 1)

    def fileno(self) -> int:
        return self._event


class _Rank:
    """One of the processes, and the group of what it starts; end() must be called once."""

    def __init__(self, number: int, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.number = number
        parent = os.getpid()

        def die_with_parent() -> None:
            kernel.die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:  # it ended before it could be told of
                os._exit(1)

        self._process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=die_with_parent,  # takes no lock, so other threads do not matter
        )
        self._handle = os.pidfd_open(self._process.pid)

    def fileno(self) -> int:
        """Readable once the process ended."""
        return self._handle

    def ask_to_end(self) -> None:
        """Send SIGTERM to the rank alone: it may still need what it started."""
        signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def end(self) -> int:
        """Kill what is left of its group; its exit code, minus the signal that ended it."""
        signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        # The leader is still unreaped, so its number cannot have passed to another group.
        with contextlib.suppress(ProcessLookupError):  # it left the group, and nobody is in it
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._handle)
        return code


def _attempt(
    command: Sequence[str], workers: int, env: Mapping[str, str], rendezvous: Path, stop: _Stop
) -> tuple[int, int]:
    """Run all ranks once: the number of the one that failed first, and its code; 0 where none."""
    meeting = {**_LOOPBACK, RENDEZVOUS: str(rendezvous)} if workers > 1 else {}
    running: list[_Rank] = []
    try:
        for number in range(workers):
            own = {"RANK": str(number), "LOCAL_RANK": str(number)}
            size = {"WORLD_SIZE": str(workers), "LOCAL_WORLD_SIZE": str(workers)}
            running.append(_Rank(number, command, {**env, **own, **size, **meeting}))
        return _watch(running, stop)
    finally:
        for rank in running:
            rank.end()


def _watch(running: list[_Rank], stop: _Stop) -> tuple[int, int]:
    """Wait until all ended or may be killed; those that ended are taken out of `running`."""
    failed: tuple[int, int] | None = None
    deadline: float | None = None
    while running:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        ready = _poll([*running, *([stop] if deadline is None else [])], left)
        # Should several have ended at once, one that was killed is why the others failed.
        codes = {rank.number: rank.end() for rank in running if rank.fileno() in ready}
        running[:] = [rank for rank in running if rank.number not in codes]
        failed = failed or min(
            ((number, code) for number, code in codes.items() if code),
            key=lambda pair: pair[1],
            default=None,
        )
        stopped = stop.fileno() in ready
        if deadline is None and (stopped or failed):
            deadline = time.monotonic() + (GRACE if stopped else _ABANDONED)
            for rank in running:
                rank.ask_to_end()
    if failed is None and running:
        return running[0].number, -signal.SIGTERM
    return failed or (0, 0)


def _poll(files: Sequence[_Rank | _Stop], seconds: float | None) -> set[int]:
    poller = select.poll()
    for file in files:
        poller.register(file.fileno(), select.POLLIN)
    return {handle for handle, _ in poller.poll(None if seconds is None else seconds * 1000)}


def main(arguments: Sequence[str]) -> int:
    """Run the command line's command as ranks; the exit code."""
    parser = argparse.ArgumentParser(prog="touchstone.training.ranks")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--max-restarts", type=int, default=0)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    return run(
        given.command, workers=given.workers, env=os.environ, max_restarts=given.max_restarts
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
