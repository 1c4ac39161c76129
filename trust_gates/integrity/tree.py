"""What lies in this folder? Its regular files, and by name what is none; nothing is followed.

A link shows what it leads to in place of what was pushed, a FIFO holds up whoever opens it, and a
device may act on being opened. So each is told by what stands in the folder, never opened.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from trust_gates import kinds

Bytes = bytes | mmap.mmap
"""A file's bytes, read or mapped."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What was found below a folder, hidden or not."""

    files: list[Path]
    """Regular files, sorted."""

    irregular: list[str]
    """What is neither a file nor a folder, or cannot be listed, as `path: what it is`; sorted."""


def walk(folder: Path, *, hidden: bool = True) -> Tree:
    """Everything below `folder`, which may itself be reached through a link.

    Args:
        hidden: whether names that begin with a dot count, and what is below them.
    """
    files, irregular = [], []
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = [(entry, _entry_kind(entry)) for entry in entries]
        except OSError as error:
            irregular.append(f"{_below(here, folder)}: cannot be listed ({error.strerror})")
            continue
        for entry, kind in found:
            if entry.name.startswith(".") and not hidden:
                continue
            path = here / entry.name
            if kind == "a folder":
                waiting.append(path)
            elif kind == "a regular file":
                files.append(path)
            else:
                irregular.append(f"{_below(path, folder)}: it is {kind}")
    return Tree(sorted(files), sorted(irregular))


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The regular file at `path`, for reading.

    Raises:
        OSError: nothing is there, or it may not be read.
        ValueError: it is a link, a FIFO, a device, a socket or a folder, and was not opened.
    """
    _expect_regular(os.lstat(path).st_mode)  # a device may act on being opened
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as stream:
        _expect_regular(os.fstat(stream.fileno()).st_mode)
        yield stream


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """The bytes of the regular file at `path`, of any size; raises as `opened` does."""
    with opened(path) as stream:
        if not os.fstat(stream.fileno()).st_size:
            yield b""
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _expect_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(f"it is {kinds.kind(mode)}, expected a regular file")


def _entry_kind(entry: os.DirEntry[str]) -> str:
    kind = kinds.kind(entry.stat(follow_symlinks=False).st_mode)
    return f"{kind} to {str(Path(entry.path).readlink())!r}" if entry.is_symlink() else kind


def _below(path: Path, folder: Path) -> str:
    # A name that is no UTF-8 would break every report that names it.
    name = path.relative_to(folder).as_posix()
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
