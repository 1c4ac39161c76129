"""Git as a process: one function, with the repository's own hooks and prompts kept out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from touchstone.errors import PlatformError


def git(*arguments: str, cwd: Path | None = None, data: str | None = None) -> str:
    """Run git with `arguments`; return its standard output without the last newline.

    Never asks for a password: a missing credential is an error at once, not a hung stage.

    Raises:
        PlatformError: git is not installed, or ended with another code than 0.
    """
    try:
        process = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            input=data,
            capture_output=True,
            text=True,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        raise PlatformError("git is not installed", hint="install git 2.30 or later") from None
    if process.returncode:
        raise PlatformError(
            f"git {arguments[0]} ended with {process.returncode}: {process.stderr.strip()}"
        )
    return process.stdout.removesuffix("\n")
