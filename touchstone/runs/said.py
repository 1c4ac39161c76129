"""What does a stage say of itself, in a line or a few? Read from the end of what its steps wrote.

Everything here may have been written by code that is judged: it is text, cut where it is too long.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone.runs import record
from touchstone.runs.logs import logs_of
from trust_gates import progress
from trust_gates.verdict import Outcome

_TAIL = 1 << 16
"""Bytes of a log's end that are looked at, however long its lines are."""

_LONGEST, _MOST = 1000, 40
"""Characters of a line, and lines of an error, that are shown."""

_ERROR, _HINT = "error: ", "hint: "
"""How a stage says why it failed and, before it, what to do; see touchstone.commands.stage."""

_GATES_RESULTS = {"evidence", "outcome"}


def last_line(folder: Path) -> str:
    """The last line that is not blank of the newest log in `folder`."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for log in logs:
        for line in reversed(_tail(log)):
            if line.strip():
                return line.strip()
    return ""


def progress_of(line: str) -> str:
    """The line where it tells how far a stage is; else empty."""
    return line if progress.is_told(line) else ""


def last_lines(folder: Path, status: Mapping[str, Any], most: int) -> list[str]:
    """What the step that failed wrote last, or the last step where none did; at most `most`."""
    lines = _failed(folder, status)
    return lines[len(lines) - most :] if most < len(lines) else lines


def last_error(folder: Path, status: Mapping[str, Any]) -> list[str]:
    """The last `error: …` of the step that failed, with every line after it, then its hint."""
    lines = _failed(folder, status)
    begins = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if not begins:
        return []
    first = begins[-1]
    found = [lines[first].removeprefix(_ERROR), *filter(str.strip, lines[first + 1 :])]
    if len(found) > _MOST:
        found = [*found[:_MOST], f"… and {len(found) - _MOST} more lines"]
    before = lines[first - 1] if first else ""
    return [*found, before] if before.startswith(_HINT) else found


def outcome_of(status: Mapping[str, Any]) -> str:
    """What a gate found: passed, failed or insufficient evidence; empty of any other stage."""
    results = record.results(status)
    found = results.get("outcome")
    return str(found) if results.keys() >= _GATES_RESULTS and found in tuple(Outcome) else ""


def _failed(folder: Path, status: Mapping[str, Any]) -> list[str]:
    step = record.failed_step(status)
    if step:
        return _tail(folder / f"{step}.log")
    files = logs_of(folder, status)
    return _tail(files[-1]) if files else []


def _tail(log: Path) -> list[str]:
    """The last lines of a log, each cut where it is too long."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            text = stream.read(_TAIL).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    lines = text.removesuffix("\n").split("\n")
    return [_cut(line.rstrip("\r").rpartition("\r")[2]) for line in lines] if text else []


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
