"""Which results were found for these inputs before, and by which TaskRun?"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.runs.store import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one key stands for."""

    run: str
    taskrun: str
    results: Sequence[Any]
    """`status.results` of the TaskRun."""

    blobs: Sequence[str]
    """Digests of every artifact that the results led to."""


def find(state: State, key: str) -> Entry | None:
    """The entry of `key`, or None."""
    with state.transaction() as connection:
        row = connection.execute(
            "SELECT run, taskrun, results FROM cache WHERE key = ?", (key,)
        ).fetchone()
    return Entry(run=row[0], taskrun=row[1], **json.loads(row[2])) if row else None


def remember(state: State, key: str, entry: Entry) -> None:
    """Store the entry, in place of an older one; it goes when its run goes."""
    document = {"results": list(entry.results), "blobs": list(entry.blobs)}
    with state.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO cache (key, run, taskrun, results, created)"
            " VALUES (?, ?, ?, ?, ?)",
            (key, entry.run, entry.taskrun, json.dumps(document), time.time()),
        )
