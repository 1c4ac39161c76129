"""How does a command end that met what it does not know? With a sentence; what helps us is kept.

A machine's faults (a full disk, a folder that may not be written, a state that is damaged) are said
as they are. Of everything else the traceback goes to a file, with the way to report it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from touchstone.errors import PlatformError, TouchstoneError, UsageError
from touchstone.home import VARIABLE, Home
from touchstone.runs import faults

_ISSUES = "https://github.com/touchstone-ml/touchstone/issues"

_IN_THE_WAY = (
    f"a file stands where a folder is needed: move it, or choose another place ({VARIABLE} for the"
    " platform's)"
)
_FORBIDDEN = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)

_ADVICE = {
    errno.EACCES: "let this user read and write there, or choose another place",
    errno.EPERM: "let this user read and write there, or choose another place",
    errno.EROFS: f"nothing can be written there: choose another place, such as with {VARIABLE}",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "a folder stands where a file is needed: name the file",
    errno.ENOENT: "name one that is there, or can be made there",
    errno.ELOOP: "links lead in a circle there: name the place itself",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EADDRINUSE: "another program has the address: choose another port",
    errno.ENOSPC: "make room on that disk, and try again: touchstone gc removes old runs",
    errno.EDQUOT: "make room in your quota, and try again: touchstone gc removes old runs",
}


def ending(error: Exception) -> TouchstoneError:
    """The error that the command ends with instead."""
    if isinstance(error, TouchstoneError):
        return error
    passing = "what is missing may be there later: try again" if faults.passing(error) else ""
    if isinstance(error, OSError):
        advice = _ADVICE.get(error.errno or 0, "") or passing
        return PlatformError(faults.words(error), hint=advice or _report(error))
    if isinstance(error, sqlite3.Error):
        return PlatformError(faults.words(error), hint=_of_state(error))
    if isinstance(error, UnicodeError):
        problem = f"got text that is no UTF-8: {faults.words(error)}"
        decoded = isinstance(error, UnicodeDecodeError)
        hint = "write it in UTF-8" if decoded else "use a UTF-8 locale, such as LC_ALL=C.UTF-8"
        return UsageError(problem, hint=hint)
    if passing:
        return PlatformError(faults.words(error), hint=passing)
    return TouchstoneError(f"unexpected {faults.words(error)}{_where(error)}", hint=_report(error))


def _of_state(error: sqlite3.Error) -> str:
    """What to do about state.sqlite."""
    place = f"state.sqlite in {Home.default().root}"
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FORBIDDEN:
        return f"let this user read and write {place} and the files beside it"
    if faults.passing(error):
        return f"try again: another process may hold {place}, or its disk be full"
    return (
        f"{place} is damaged, or no Touchstone wrote it: put a copy of it back, or move it away and"
        f" start anew, or set {VARIABLE}"
    )


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _report(error: Exception) -> str:
    """Keep the traceback, and say where it is and who wants it."""
    text = "".join(traceback.format_exception(error))
    try:
        file = _log(f"{datetime.now(UTC).isoformat()} {sys.argv}\n{text}\n")
    except OSError:
        return f"please report it at {_ISSUES} with the traceback, which --debug shows"
    return f"please report it at {_ISSUES} with the traceback in {file}"


def _log(text: str) -> Path:
    """Append to the platform's log where there is a platform; else a file of its own."""
    logs = Home.default().logs
    if logs.is_dir() and os.access(logs, os.W_OK):
        file = logs / "errors.log"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    else:
        descriptor, name = tempfile.mkstemp(prefix="touchstone-error-", suffix=".log")
        file = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return file
