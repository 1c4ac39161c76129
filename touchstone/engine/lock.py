"""Who executes a run? At most one engine at a time, which the kernel sees to even after a kill."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from touchstone.engine.workspaces import Folders
from touchstone.errors import PlatformError


@contextmanager
def only_engine(folders: Folders) -> Iterator[None]:
    """Hold the run for the length of the block. Raises PlatformError where another engine does."""
    folders.root.mkdir(parents=True, exist_ok=True)
    with _file(folders).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlatformError(
                f"the run {folders.run} is being executed by another engine",
                hint="wait for it, or stop it first",
            ) from None
        yield


def is_executed(home: Path, run: str) -> bool:
    """Whether an engine, of this process or another, executes the run now."""
    try:
        with only_engine(Folders(home, run)):
            return False
    except PlatformError:
        return True


def _file(folders: Folders) -> Path:
    return folders.root / "lock"
