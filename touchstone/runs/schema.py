"""How does state.sqlite come to its present shape? One migration a version, never changed again.

`PRAGMA user_version` counts the migrations that a file has seen; a file of an older Touchstone is
brought forward when it is opened, in one transaction.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from touchstone.errors import PlatformError

_FOUNDATION = (
    """
    CREATE TABLE IF NOT EXISTS events (
      id INTEGER PRIMARY KEY,
      source TEXT NOT NULL,
      event_id TEXT NOT NULL,
      headers TEXT NOT NULL,
      body BLOB NOT NULL,
      received REAL NOT NULL,
      processed REAL,
      outcome TEXT NOT NULL DEFAULT '',
      UNIQUE (source, event_id)
    )""",
    """
    CREATE TABLE IF NOT EXISTS runs (
      name TEXT PRIMARY KEY,
      event INTEGER REFERENCES events(id),
      spec TEXT NOT NULL,
      status TEXT NOT NULL,
      done INTEGER NOT NULL DEFAULT 0,
      created REAL NOT NULL
    )""",
    """
    CREATE TABLE IF NOT EXISTS taskruns (
      run TEXT NOT NULL REFERENCES runs(name) ON DELETE CASCADE,
      name TEXT NOT NULL,
      status TEXT NOT NULL,
      PRIMARY KEY (run, name)
    )""",
)

_LASTING = (
    "ALTER TABLE taskruns ADD COLUMN manifest TEXT NOT NULL DEFAULT '{}'",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """
    CREATE TABLE outbox (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      run TEXT NOT NULL REFERENCES runs(name) ON DELETE CASCADE,
      subject TEXT NOT NULL,
      type TEXT NOT NULL,
      attributes TEXT NOT NULL,
      data TEXT NOT NULL,
      tries INTEGER NOT NULL DEFAULT 0,
      next_try REAL NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT 'pending',
      error TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX outbox_pending ON outbox (state, run, id)",
    "CREATE INDEX outbox_object ON outbox (run, subject, type)",
    """
    CREATE TABLE cache (
      key TEXT PRIMARY KEY,
      run TEXT NOT NULL REFERENCES runs(name) ON DELETE CASCADE,
      taskrun TEXT NOT NULL,
      results TEXT NOT NULL,
      created REAL NOT NULL
    )""",
)

_SAID = ("ALTER TABLE events ADD COLUMN summary TEXT NOT NULL DEFAULT ''",)

MIGRATIONS = (_FOUNDATION, _LASTING, _SAID)
"""The statements that lead from each version to the next one."""


def migrate(path: Path) -> None:
    """Bring the database at `path` to the present version, creating it where there is none.

    Raises:
        PlatformError: a newer Touchstone wrote it.
    """
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        if _version(connection) == len(MIGRATIONS):
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # another process may have been first
        if version > len(MIGRATIONS):
            raise PlatformError(
                f"{path}: got version {version}, expected at most {len(MIGRATIONS)}",
                hint="a newer Touchstone wrote it: use that one, or another $TOUCHSTONE_HOME",
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
