"""Whatever a command meets, it ends with a sentence, a hint and the documented code."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from touchstone import cli
from touchstone.commands.unexpected import ending


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["touchstone", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`touchstone runs` raises what it is given."""
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TOUCHSTONE_DEBUG", raising=False)

    def meets(error: BaseException) -> None:
        def raise_it(home: object) -> None:
            raise error

        monkeypatch.setattr("touchstone.runs.lookup.all_runs", raise_it)

    return meets


def test_what_nobody_expected_is_kept_with_the_way_to_report_it(
    broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    broken(KeyError("secret-name"))
    assert _main(monkeypatch, "runs") == 1
    said = capsys.readouterr().err
    assert said.startswith("touchstone: unexpected KeyError: 'secret-name' in ")
    assert "Traceback" not in said and str(logs / "errors.log") in said and "/issues" in said
    kept = (logs / "errors.log").read_text()
    assert "Traceback" in kept and "['touchstone', 'runs']" in kept
    assert (logs / "errors.log").stat().st_mode & 0o077 == 0


def test_without_a_platform_it_is_kept_elsewhere_and_no_platform_is_made(
    broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken(KeyError("x"))
    assert _main(monkeypatch, "runs") == 1
    (kept,) = tmp_path.glob("touchstone-error-*.log")
    assert str(kept) in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_traceback_is_shown_where_it_is_asked_for(
    how: str, broken: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(PermissionError(errno.EACCES, "Permission denied", "/there"))
    if how == "variable":
        monkeypatch.setenv("TOUCHSTONE_DEBUG", "1")
    assert _main(monkeypatch, *(["--debug"] if how == "option" else []), "runs") == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-2] == "touchstone: Permission denied: /there"


def _sqlite(text: str, code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "f"), 3, "let this user"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "f"), 3, "TOUCHSTONE_HOME"),
        (OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "f"), 3, "a file stands"),
        (OSError(errno.EEXIST, os.strerror(errno.EEXIST), "f"), 3, "a file stands"),
        (OSError(errno.EISDIR, os.strerror(errno.EISDIR), "f"), 3, "a folder stands"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 3, "make room"),
        (OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)), 3, "another port"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), 3, "try again"),
        (sqlite3.DatabaseError("file is not a database"), 3, "is damaged"),
        (_sqlite("locked", sqlite3.SQLITE_BUSY), 3, "try again"),
        (_sqlite("readonly", sqlite3.SQLITE_READONLY), 3, "let this user"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "write it in UTF-8"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2, "UTF-8"),
        (MemoryError(), 3, "try again"),
    ],
    ids=str,
)
def test_a_machines_faults_are_said_as_they_are(error: Exception, code: int, advice: str) -> None:
    found = ending(error)
    assert found.exit_code == code and advice in found.hint
    assert "unexpected" not in str(found)


def test_ctrl_c_ends_with_130_and_no_word(
    broken: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(KeyboardInterrupt())
    assert _main(monkeypatch, "runs") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_disk_that_is_full_is_told_of(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(["schema"], tmp_path, stdout=full)
    assert done.returncode == 3
    first, second = done.stderr.splitlines()
    assert first.startswith("touchstone: No space left") and second.startswith("  hint: make room")


@pytest.mark.parametrize("words", [["schema"], ["--help"], ["runs"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(words: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run(words, tmp_path, stdout=writer)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", ["runs"]),
        ("file/below", ["up", "--port=18479"]),
        ("damaged", ["runs"]),
        ("newer", ["describe"]),
    ],
)
def test_a_home_that_is_none_is_said_with_what_to_do(
    place: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for name in ("damaged", "newer"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged" / "state.sqlite").write_bytes(b"no database " * 1000)
    with sqlite3.connect(tmp_path / "newer" / "state.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    done = _run(words, tmp_path / place)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    said = done.stderr.splitlines()
    assert said[-2].startswith("touchstone: ") and said[-1].startswith("  hint: ")


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert _run(["--version"], tmp_path).stdout == f"touchstone {version('touchstone')}\n"


def _run(words: list[str], home: Path, **streams: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "touchstone", *words],
        env={**os.environ, "TOUCHSTONE_HOME": str(home)},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        text=True,
    )
