"""A state.sqlite of an older Touchstone keeps working; one of a newer is left alone."""

import sqlite3

import pytest

from touchstone.errors import PlatformError
from touchstone.runs.schema import MIGRATIONS, migrate
from touchstone.runs.store import State

_FIRST = """
CREATE TABLE events (id INTEGER PRIMARY KEY, source TEXT NOT NULL, event_id TEXT NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, received REAL NOT NULL, processed REAL,
  outcome TEXT NOT NULL DEFAULT '', UNIQUE (source, event_id));
CREATE TABLE runs (name TEXT PRIMARY KEY, event INTEGER REFERENCES events(id), spec TEXT NOT NULL,
  status TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL);
CREATE TABLE taskruns (run TEXT NOT NULL REFERENCES runs(name) ON DELETE CASCADE,
  name TEXT NOT NULL, status TEXT NOT NULL, PRIMARY KEY (run, name));
INSERT INTO runs VALUES ('r', NULL, '{"kind": "PipelineRun", "metadata": {"name": "r"}}', '{}',
  0, 1.0);
INSERT INTO taskruns VALUES ('r', 'r-a', '{"conditions": []}');
"""


def test_a_file_without_a_version_is_brought_forward_with_its_runs(tmp_path):
    connection = sqlite3.connect(tmp_path / "state.sqlite")
    connection.executescript(_FIRST)
    connection.close()
    state = State(tmp_path)
    assert [run.name for run in state.runs()] == ["r"]
    assert state.taskruns("r") == {"r-a": {"conditions": []}}
    assert state.taskrun_manifests("r")["r-a"]["kind"] == "TaskRun"
    state.save_taskrun("r", "r-a", {"conditions": [1]})
    assert State(tmp_path).taskruns("r") == {"r-a": {"conditions": [1]}}


def test_a_migration_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(_FIRST)
    monkeypatch.setattr(
        "touchstone.runs.schema.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE x (y)", "no SQL"))
    )
    with pytest.raises(sqlite3.OperationalError):
        migrate(path)
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert not tables & {"x", "outbox", "cache"}
    connection.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "state.sqlite")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(PlatformError, match="got version 999"):
        State(tmp_path)
