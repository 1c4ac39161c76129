"""Which failures pass by themselves, and that one item's keeps no other from its turn."""

import errno
import sqlite3

import pytest

from touchstone.errors import PlatformError
from touchstone.runs import faults


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("another"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (OSError("a text alone"), False),
        (PlatformError("it lacks git"), False),
        (KeyError("x"), False),
        (sqlite3.OperationalError("not one of SQLite's own"), False),
    ],
)
def test_what_a_machine_lacks_for_a_while_passes_and_nothing_else(error, passes):
    assert faults.passing(error) is passes


def test_a_locked_database_passes_and_a_wrong_statement_does_not(tmp_path):
    path = tmp_path / "x.sqlite"
    with sqlite3.connect(path) as holder, sqlite3.connect(path, timeout=0) as other:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.Error) as locked:
            other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.Error) as wrong:
            other.execute("SELEKT")
    assert faults.passing(locked.value)
    assert not faults.passing(wrong.value)
    assert faults.words(locked.value) == "the state cannot be used: database is locked"


def test_every_item_has_its_turn_and_the_first_failure_is_raised():
    seen = []

    def work(item):
        seen.append(item)
        if item in (2, 3):
            raise ValueError(item)
        return item

    with pytest.raises(ValueError, match="2"):
        faults.each(work, (1, 2, 3, 4))
    assert seen == [1, 2, 3, 4]
    assert faults.each(work, (1, 4)) == [1, 4]


def test_a_postponed_item_waits_longer_each_time_and_at_most_a_minute(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    postponed, error = faults.Postponed(), OSError(errno.ENOSPC, "full", "/a")
    assert not postponed.waits("a")
    waits = [postponed.note("a", error) for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (postponed.failures("a"), postponed.why("a")) == (9, "full: /a")
    assert postponed.waits("a") and not postponed.waits("b")
    now[0] += 61
    assert not postponed.waits("a")
    postponed.forget("a")
    assert postponed.failures("a") == 0
