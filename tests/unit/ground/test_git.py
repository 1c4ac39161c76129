"""Git as a process: what it says, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchstone.errors import PlatformError
from touchstone.git import git


def test_a_failure_names_the_command_and_what_git_said_but_no_password(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"git ls-remote .* ended with 128: ") as raised:
        git("ls-remote", "file://somebody:secret@nowhere/absent.git", cwd=tmp_path)
    assert "secret" not in str(raised.value) and "somebody" not in str(raised.value)


def test_the_persons_own_hooks_and_signing_are_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n hooksPath = {tmp_path}\n[commit]\n gpgSign = true\n")
    hook = tmp_path / "pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    repository = tmp_path / "repository"
    git("init", "--quiet", str(repository))
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    git(*who, "commit", "--quiet", "--allow-empty", "--message=m", cwd=repository)
    assert git("log", "--format=%s", cwd=repository) == "m"


def test_bytes_outside_utf8_are_replaced_and_line_ends_stay(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "file").write_bytes(b"\xff\r\nx\n\n")
    blob = git("hash-object", "-w", "--no-filters", "file", cwd=tmp_path)
    assert git("cat-file", "blob", blob, cwd=tmp_path) == "\ufffd\r\nx\n"
