"""What the embedded platform remembers: events, runs and TaskRuns, in one SQLite file.

Every write is one transaction, so a kill at any moment leaves either the state before it or the
state after it. The event that starts a run and the run itself are written together: an event is
never lost between the two and never starts its run twice. While a sink is set, a status and the
CloudEvents that tell of it are written together too.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from touchstone.runs import cloud_events
from touchstone.runs.grouped import Grouped
from touchstone.runs.memory import Run
from touchstone.runs.schema import migrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One delivery as it arrived: header names in lower case, the body untouched."""

    id: int
    source: str
    event_id: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A delivery and what became of it."""

    event: Event
    received: float
    """Seconds since the epoch."""
    processed: float | None
    outcome: str
    """Trigger by trigger."""
    summary: str
    """The same in one sentence; empty of what an older Touchstone processed."""
    runs: tuple[str, ...]
    """Names of the runs it started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """What one key of the cache stands for."""

    run: str
    taskrun: str
    results: Sequence[Any]
    """`status.results` of the TaskRun."""

    blobs: Sequence[str]
    """Digests of every artifact that the results led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One CloudEvent in the outbox."""

    id: int
    run: str
    type: str
    attributes: Mapping[str, str]
    data: str
    """JSON."""

    tries: int
    next_try: float
    """Seconds since the epoch."""

    state: str
    """pending, sent or dead."""

    error: str
    """Why the last try failed."""


_REPOSITORY = ("$.repository", "$.repository.name", "$.repository.full_name",
               "$.project.name", "$.project.path_with_namespace")  # fmt: skip
"""Where forges and schedules name the repository in a body."""

SINK = "sink"
"""Setting: the URL that gets the CloudEvents."""


class State:
    """The platform's memory in `home`; safe for several threads and processes at once.

    A write waits at most `patience` seconds for another's.
    """

    def __init__(self, home: Path, *, patience: float = 30) -> None:
        self.path = home / "state.sqlite"
        self._patience = patience
        home.mkdir(parents=True, exist_ok=True)
        migrate(self.path)
        # Closing the last connection empties the write-ahead log, which costs more than a write:
        # this one stays open and idle, so that the short ones are never the last.
        self._idle = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        self._idle.execute("SELECT count(*) FROM events").fetchone()
        self._deliveries: Grouped[Mapping[str, Any], int | None] = Grouped(self._add_events)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction; SQLite's write lock is taken with the first change."""
        connection = sqlite3.connect(self.path, timeout=self._patience)
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            with connection:
                yield connection
        finally:
            connection.close()

    @contextmanager
    def exclusively(self) -> Iterator[sqlite3.Connection]:
        """One transaction that nobody else's change can come between, from its first read on."""
        with self.transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def add_event(
        self,
        *,
        source: str,
        event_id: str,
        headers: Mapping[str, str],
        body: bytes,
        among: Collection[str] = (),
    ) -> int | None:
        """Store a delivery before it is acknowledged; those of one moment share a transaction.

        None where the id was seen before, from `source` or from one of `among`.
        """
        return self._deliveries(
            {
                "source": source,
                "id": event_id,
                "headers": json.dumps(dict(headers)),
                "body": body,
                "now": time.time(),
                "known": json.dumps([source, *among]),
            }
        )

    def _add_events(self, deliveries: Sequence[Mapping[str, Any]]) -> list[int | None]:
        with self.transaction() as connection:
            cursors = [
                connection.execute(
                    "INSERT INTO events (source, event_id, headers, body, received)"
                    " SELECT :source, :id, :headers, :body, :now"
                    " WHERE NOT EXISTS (SELECT 1 FROM events WHERE event_id = :id"
                    " AND source IN (SELECT value FROM json_each(:known)))",
                    delivery,
                )
                for delivery in deliveries
            ]
            return [cursor.lastrowid if cursor.rowcount else None for cursor in cursors]

    def pending_events(self) -> list[Event]:
        """Stored deliveries that no one has processed yet, oldest first."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT id, source, event_id, headers, body FROM events"
                " WHERE processed IS NULL ORDER BY id"
            ).fetchall()
        return [
            Event(
                id=row[0], source=row[1], event_id=row[2], headers=json.loads(row[3]), body=row[4]
            )
            for row in rows
        ]

    def events(
        self, *, limit: int = 50, event: int | None = None, repository: str = ""
    ) -> list[Received]:
        """The newest `limit` deliveries, newest first.

        With `event`, only the one of that id; with `repository`, only those whose body names it.
        """
        if event is not None:
            return self._received("e.id = ?", (event,), limit)
        if not repository:
            return self._received("true", (), limit)
        named = ", ".join(f"json_extract(CAST(body AS TEXT), '{path}')" for path in _REPOSITORY)
        where = f"CASE WHEN json_valid(CAST(body AS TEXT)) THEN ? IN ({named}) END"
        return self._received(where, (repository,), limit)

    def event_known_as(self, event_id: str, sources: Sequence[str]) -> Received | None:
        """The delivery that has this id from one of the sources, or None."""
        where = "event_id = ? AND source IN (SELECT value FROM json_each(?))"
        return next(iter(self._received(where, (event_id, json.dumps(list(sources))), 1)), None)

    def _received(self, where: str, values: Sequence[Any], limit: int) -> list[Received]:
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT e.id, source, event_id, headers, body, received, processed, outcome,"  # noqa: S608  fixed text
                " summary, (SELECT json_group_array(name) FROM runs WHERE runs.event = e.id)"
                f" FROM events e WHERE {where} ORDER BY e.id DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [
            Received(
                event=Event(
                    id=row[0],
                    source=row[1],
                    event_id=row[2],
                    headers=json.loads(row[3]),
                    body=row[4],
                ),
                received=row[5],
                processed=row[6],
                outcome=row[7],
                summary=row[8],
                runs=tuple(json.loads(row[9])),
            )
            for row in rows
        ]

    def finish_event(
        self,
        event: int,
        *,
        outcome: str,
        summary: str = "",
        runs: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Mark the event processed and create the runs it started, in one transaction.

        `runs` are PipelineRun or TaskRun objects with `metadata.name` set. A second call for the
        same event creates nothing.
        """
        with self.transaction() as connection:
            cursor = connection.execute(
                "UPDATE events SET processed = ?, outcome = ?, summary = ?"
                " WHERE id = ? AND processed IS NULL",
                (time.time(), outcome, summary, event),
            )
            if cursor.rowcount:
                for manifest in runs:
                    _insert_run(connection, manifest, event)

    def add_run(
        self,
        manifest: Mapping[str, Any],
        *,
        status: Mapping[str, Any] | None = None,
        taskruns: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]] = (),
    ) -> None:
        """Create a run that no event started, with finished TaskRuns as (object, status).

        An engine sees all of it or nothing. Raises sqlite3.IntegrityError on a used name.
        """
        name = manifest["metadata"]["name"]
        with self.exclusively() as connection:
            _insert_run(connection, manifest, None, status)
            connection.executemany(
                "INSERT INTO taskruns (run, name, manifest, status) VALUES (?, ?, ?, ?)",
                [
                    (name, one["metadata"]["name"], json.dumps(one), json.dumps(ended))
                    for one, ended in taskruns
                ],
            )

    def delete_run(self, name: str) -> None:
        """Forget the run with its TaskRuns, its CloudEvents and what it put into the cache."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE name = ?", (name,))

    def texts(self, *, without: Collection[str] = ()) -> list[str]:
        """All that is stored of runs and may name an artifact, but of the runs `without`."""
        with self.transaction() as connection:
            rows = [
                *connection.execute("SELECT name, spec, status FROM runs"),
                *connection.execute("SELECT run, manifest, status FROM taskruns"),
                *connection.execute("SELECT run, results FROM cache"),
            ]
        return [text for row in rows if row[0] not in without for text in row[1:]]

    def runs(self, *, done: bool | None = None) -> list[Run]:
        """All runs, oldest first; with `done`, only the finished or only the unfinished."""
        where, values = ("", ()) if done is None else (" WHERE done = ?", (int(done),))
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT name, spec, status, done, created FROM runs"  # noqa: S608  fixed text
                + where
                + " ORDER BY created, rowid",
                values,
            ).fetchall()
        return [_run(row) for row in rows]

    def run(self, name: str) -> Run | None:
        """The run called `name`, or None."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT name, spec, status, done, created FROM runs WHERE name = ?", (name,)
            ).fetchone()
        return _run(row) if row else None

    def spec_status(self, name: str) -> str:
        """`spec.status` of the run called `name`, such as Cancelled; empty where it has none."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT json_extract(spec, '$.spec.status') FROM runs WHERE name = ?", (name,)
            ).fetchone()
        return str(row[0] or "") if row else ""

    def set_spec_status(self, name: str, value: str) -> bool:
        """Ask a run to end, or a pending one to start, by its `spec.status`; empty removes it.

        The engine that executes the run notices. False where the run is done or nobody stored it.
        """
        change = "json_set(spec, '$.spec.status', ?)" if value else "json_remove(spec, ?)"
        with self.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE runs SET spec = {change} WHERE name = ? AND done = 0",  # noqa: S608  fixed text
                (value or "$.spec.status", name),
            )
        return cursor.rowcount > 0

    def save_run(self, name: str, status: Mapping[str, Any], *, done: bool) -> None:
        """Replace a run's status document."""
        with self.exclusively() as connection:
            _tell(connection, name, "", status)
            connection.execute(
                "UPDATE runs SET status = ?, done = ? WHERE name = ?",
                (json.dumps(status), int(done), name),
            )

    def add_taskrun(self, run: str, manifest: Mapping[str, Any]) -> None:
        """Create a TaskRun of `run`, or give the one of its name this manifest."""
        with self.exclusively() as connection:
            _insert_taskrun(connection, run, manifest)

    def save_taskrun(self, run: str, name: str, status: Mapping[str, Any]) -> None:
        """Create or replace the status document of one TaskRun of `run`."""
        with self.exclusively() as connection:
            _tell(connection, run, name, status)
            connection.execute(
                "INSERT INTO taskruns (run, name, status) VALUES (?, ?, ?)"
                " ON CONFLICT (run, name) DO UPDATE SET status = excluded.status",
                (run, name, json.dumps(status)),
            )

    def taskrun_manifests(self, run: str) -> dict[str, dict[str, Any]]:
        """The TaskRun objects of `run` without their status, by name, in order of creation."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT name, manifest FROM taskruns WHERE run = ? ORDER BY rowid", (run,)
            ).fetchall()
        return {name: _taskrun(name, json.loads(manifest)) for name, manifest in rows}

    def taskruns(self, run: str) -> dict[str, dict[str, Any]]:
        """Status documents of the TaskRuns of `run` by name, in order of creation."""
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT name, status FROM taskruns WHERE run = ? ORDER BY rowid", (run,)
            ).fetchall()
        return {name: json.loads(status) for name, status in rows}

    def cached_of(self, run: str) -> tuple[int, int]:
        """How many TaskRuns of `run` have their results from the cache, and how many it has."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT count(json_extract(status, '$.provenance.touchstoneCache')), count(*)"
                " FROM taskruns WHERE run = ?",
                (run,),
            ).fetchone()
        return int(row[0]), int(row[1])

    def setting(self, name: str) -> str | None:
        """What is stored under `name`, or None."""
        with self.transaction() as connection:
            return _setting(connection, name)

    def set_setting(self, name: str, value: str) -> None:
        """Store `value` under `name`; an empty one removes what is there."""
        with self.transaction() as connection:
            if value:
                connection.execute("REPLACE INTO settings VALUES (?, ?)", (name, value))
            else:
                connection.execute("DELETE FROM settings WHERE name = ?", (name,))

    def cached(self, key: str) -> Cached | None:
        """What the cache holds for `key`, or None."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT run, taskrun, results FROM cache WHERE key = ?", (key,)
            ).fetchone()
        return Cached(run=row[0], taskrun=row[1], **json.loads(row[2])) if row else None

    def cache(self, key: str, entry: Cached) -> None:
        """Put the entry into the cache, in place of an older one; it goes when its run goes."""
        document = {"results": list(entry.results), "blobs": list(entry.blobs)}
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cache (key, run, taskrun, results, created)"
                " VALUES (?, ?, ?, ?, ?)",
                (key, entry.run, entry.taskrun, json.dumps(document), time.time()),
            )

    def outbox(self, *states: str, run: str = "") -> list[Outgoing]:
        """CloudEvents in one of these states, all without; oldest first, of one run or of all."""
        where = f"({not states:d} OR state IN ({', '.join('?' * len(states))}))"
        return self._outgoing(f"{where} AND ? IN ('', run)", (*states, run))

    def outbox_due(self, now: float) -> list[Outgoing]:
        """The oldest pending CloudEvent of each run, where its time has come."""
        oldest = "SELECT min(id) FROM outbox WHERE state = 'pending' GROUP BY run"
        return self._outgoing(f"id IN ({oldest}) AND next_try <= ?", (now,))

    def _outgoing(self, where: str, values: Sequence[Any]) -> list[Outgoing]:
        with self.transaction() as connection:
            rows = connection.execute(
                "SELECT id, run, type, attributes, data, tries, next_try, state, error"  # noqa: S608  fixed text
                f" FROM outbox WHERE {where} ORDER BY id",
                values,
            ).fetchall()
        names = [item.name for item in fields(Outgoing)]
        found = [Outgoing(**dict(zip(names, row, strict=True))) for row in rows]
        return [replace(one, attributes=json.loads(str(one.attributes))) for one in found]

    def drop_outbox(self) -> int:
        """Make dead letters of all pending CloudEvents; how many."""
        with self.transaction() as connection:
            return connection.execute(
                "UPDATE outbox SET state = 'dead', error = 'dropped' WHERE state = 'pending'"
            ).rowcount

    def note_try(self, outgoing: Sequence[Outgoing]) -> None:
        """Store state, tries, next try and error of these CloudEvents."""
        with self.transaction() as connection:
            connection.executemany(
                "UPDATE outbox SET state = ?, tries = ?, next_try = ?, error = ? WHERE id = ?",
                [(one.state, one.tries, one.next_try, one.error, one.id) for one in outgoing],
            )


def _setting(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def _insert_run(
    connection: sqlite3.Connection,
    manifest: Mapping[str, Any],
    event: int | None,
    status: Mapping[str, Any] | None = None,
) -> None:
    name = manifest["metadata"]["name"]
    connection.execute(
        "INSERT INTO runs (name, event, spec, status, created) VALUES (?, ?, ?, ?, ?)",
        (name, event, json.dumps(manifest), json.dumps(status or {}), time.time()),
    )
    if _has_sink(connection):
        _store(connection, name, cloud_events.events(manifest, None, {}))


def _insert_taskrun(connection: sqlite3.Connection, run: str, manifest: Mapping[str, Any]) -> None:
    name = manifest["metadata"]["name"]
    known = connection.execute(
        "SELECT 1 FROM taskruns WHERE run = ? AND name = ?", (run, name)
    ).fetchone()
    connection.execute(
        "INSERT INTO taskruns (run, name, status, manifest) VALUES (?, ?, '{}', ?)"
        " ON CONFLICT (run, name) DO UPDATE SET manifest = excluded.manifest",
        (run, name, json.dumps(manifest)),
    )
    if not known and _has_sink(connection):
        _store(connection, run, cloud_events.events(manifest, None, {}))


def _tell(
    connection: sqlite3.Connection, run: str, taskrun: str, status: Mapping[str, Any]
) -> None:
    """Put what the new status tells into the outbox; `taskrun` is empty for the run itself."""
    if not _has_sink(connection):
        return
    if taskrun:
        row = connection.execute(
            "SELECT manifest, status FROM taskruns WHERE run = ? AND name = ?", (run, taskrun)
        ).fetchone()
        manifest = _taskrun(taskrun, json.loads(row[0]) if row else {})
        if "pipelineSpec" in status:
            manifest["kind"] = "PipelineRun"  # a pipeline in a pipeline
    else:
        row = connection.execute("SELECT spec, status FROM runs WHERE name = ?", (run,)).fetchone()
        if row is None:
            return
        manifest = json.loads(row[0])
    _store(
        connection, run, cloud_events.events(manifest, json.loads(row[1]) if row else None, status)
    )


def _store(
    connection: sqlite3.Connection, run: str, events: Sequence[cloud_events.RunEvent]
) -> None:
    for event in events:
        values = {
            "run": run,
            "subject": event.attributes["source"],
            "type": event.type,
            "attributes": json.dumps(event.attributes),
            "data": json.dumps(event.data),
            "repeats": cloud_events.repeats(event.type),
        }
        connection.execute(
            "INSERT INTO outbox (run, subject, type, attributes, data)"
            " SELECT :run, :subject, :type, :attributes, :data WHERE :repeats OR NOT EXISTS"
            " (SELECT 1 FROM outbox WHERE run = :run AND subject = :subject AND type = :type)",
            values,
        )


def _has_sink(connection: sqlite3.Connection) -> bool:
    return _setting(connection, SINK) is not None


def _taskrun(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The stored TaskRun object; the least there is to say of one stored by its status alone."""
    least = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name}}
    return {**least, **manifest}


def _run(row: Sequence[Any]) -> Run:
    return Run(
        name=row[0],
        manifest=json.loads(row[1]),
        status=json.loads(row[2]),
        done=bool(row[3]),
        created=row[4],
    )
