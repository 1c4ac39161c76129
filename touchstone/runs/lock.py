"""Who executes a run? At most one engine at a time, which the kernel sees to even after a kill."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from touchstone.errors import PlatformError

_PATIENCE = 1.0
"""Seconds an engine waits for the lock: whoever only asks who executes the run holds it briefly."""


@contextmanager
def only_engine(home: Path, run: str) -> Iterator[None]:
    """Hold the run for the length of the block. Raises PlatformError where another engine does."""
    lock = _file(home, run)
    lock.parent.mkdir(parents=True, exist_ok=True)
    limit = time.monotonic() + _PATIENCE
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < limit:
                    time.sleep(0.02)
                    continue
                raise PlatformError(
                    f"the run {run} is being executed by another engine",
                    hint="wait for it, or stop it first",
                ) from None
        yield


def is_executed(home: Path, run: str) -> bool:
    """Whether an engine, of this process or another, executes the run now."""
    try:
        with _file(home, run).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def folder_of(home: Path, run: str) -> Path:
    """Everything that belongs to the run alone, of the platform in the folder `home`."""
    return home / "workspaces" / run


def _file(home: Path, run: str) -> Path:
    return folder_of(home, run) / "lock"
