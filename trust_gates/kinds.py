"""What stands at a place in a file system, in the words that a refusal tells it by."""

from __future__ import annotations

import stat

_KINDS = (
    (stat.S_ISREG, "a regular file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


def kind(mode: int) -> str:
    """What has the `st_mode`, as `os.lstat` gives it."""
    return next((name for is_of, name in _KINDS if is_of(mode)), "a device")
