"""Git as a process: one function, with prompts and the person's own hooks and signing kept out."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from touchstone.errors import PlatformError

# Hooks and signing belong to the person's own repositories, not to the clones made here.
_OPTIONS = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false")


class PushRejectedError(PlatformError):
    """Someone else pushed first: fetch and try again."""


def git(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    data: str | None = None,
) -> str:
    """Run git, with `data` as standard input; its output without the last newline.

    Never asks for a password: a missing credential is an error at once, not a hung stage. Bytes
    outside UTF-8 are replaced.

    Raises:
        PushRejectedError: a push lost a race.
        PlatformError: git is not installed or failed; the message ends with what git said.
    """
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=cwd,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})},
            input=None if data is None else data.encode(),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise PlatformError("git is not installed", hint="install git 2.38 or newer") from None
    # Decoded here: a file's name may be any bytes, and hold a line end that must stay as it is.
    output, complaint = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    if done.returncode == 0:
        return output.removesuffix("\n")
    said = _without_secrets(complaint.strip() or output.strip())
    command = _without_secrets(" ".join(arguments[:3]))
    if arguments[0] == "push" and re.search(r"rejected|stale info|cannot lock ref", said):
        raise PushRejectedError(f"git {command}: someone else pushed first: {said}")
    raise PlatformError(f"git {command} ended with {done.returncode}: {said}")


def _without_secrets(text: str) -> str:
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)
