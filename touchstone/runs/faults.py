"""May this failure pass by itself, so that the same work is worth another try, and when?

What a machine lacks for a while (room on a disk, memory, descriptors, processes, a database that
another process holds) passes. Everything else would fail again: its item ends, and says why.
"""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from touchstone.errors import TouchstoneError

_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE),
    *(errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS),
}
_SQLITE_ERRORS = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN),
}
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def passing(error: BaseException) -> bool:
    """Whether what the machine lacked may be there later."""
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_ERRORS
    if isinstance(error, OSError):
        return error.errno in _ERRORS
    # Python says of a thread that the machine has no room for only this.
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    return isinstance(error, MemoryError) or no_thread


def words(error: BaseException) -> str:
    """The failure in one line, for a log or a status."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, sqlite3.Error):
        return f"the state cannot be used: {error}"
    if isinstance(error, TouchstoneError):
        return str(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return next(iter(text.splitlines()))


def wait_after(failures: int) -> float:
    """Seconds until the next try after so many failed ones: 1, 2, 4, … at most 60."""
    return float(min(_FIRST_WAIT * 2.0 ** min(failures - 1, 30), _LONGEST_WAIT))


def each(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`work` done on every item: what fails for one keeps it from none of the others.

    Raises:
        Exception: the first failure, once all items had their turn.
    """
    results: list[_Result] = []
    first: Exception | None = None
    for item in items:
        try:
            results.append(work(item))
        except Exception as error:
            first = first or error
    if first is not None:
        raise first
    return results


@dataclass(slots=True)
class Postponed:
    """What failed, how often in a row, why, and until when each waits."""

    _items: dict[str, tuple[int, str, float]] = field(default_factory=dict)

    def note(self, item: str, error: Exception) -> float:
        """`item` failed once more; the seconds that it waits now."""
        failures = self.failures(item) + 1
        seconds = wait_after(failures)
        self._items[item] = (failures, words(error), time.monotonic() + seconds)
        return seconds

    def forget(self, item: str) -> None:
        """`item` came through."""
        self._items.pop(item, None)

    def failures(self, item: str) -> int:
        """How often in a row `item` failed."""
        return self._items[item][0] if item in self._items else 0

    def why(self, item: str) -> str:
        """The last failure of `item`, in words."""
        return self._items[item][1]

    def waits(self, item: str) -> bool:
        """Whether the time of its next try has not come."""
        return item in self._items and time.monotonic() < self._items[item][2]
