"""What stands in a folder where others may write? Opened below it: through no link, files alone.

Whoever may write in a folder may leave a link to what only we may read, a FIFO that nobody ever
writes into or a file without end, and may exchange one for the other while we look. So the way is
walked from the folder's descriptor part by part, each part opened without following a link, and
what counts is what was opened.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Protocol

from touchstone.errors import PlatformError
from trust_gates.kinds import kind

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Readable(Protocol):
    """What bytes are read from, in order, until it gives none."""

    def read(self, size: int = -1, /) -> bytes: ...


class NotPlainError(PlatformError):
    """Something else than a regular file, or than a folder on the way to it."""

    def __init__(self, path: str, got: str, expected: str = "a regular file") -> None:
        self.problem = f"got {got}, expected {expected}"
        super().__init__(f"{path}: {self.problem}")


@contextmanager
def opened(base: Path, path: str) -> Iterator[BufferedReader]:
    """The regular file at `path` below the folder `base`, for reading.

    Raises:
        FileNotFoundError: nothing is there.
        NotPlainError: a link, a FIFO, a device, or a way that leads through one or out of `base`.
    """
    with _parent(base, path) as (folder, name):
        descriptor = _open(folder, name, os.O_RDONLY, path)
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def read(base: Path, path: str, *, limit: int) -> bytes:
    """The file's first `limit` + 1 bytes: the one too many says that it is too large.

    Raises as `opened` does.
    """
    with opened(base, path) as stream:
        return stream.read(limit + 1)


def write(
    base: Path, path: str, data: bytes | Readable, *, mode: int = 0o644, user: int | None = None
) -> None:
    """Put a file of `user` at `path`, in place of the file or link that is there.

    Whole or not at all: a reader never sees a part of it. Folders on the way are made.

    Raises:
        NotPlainError: a folder is there, or the way leads through something else than folders.
    """
    with _parent(base, path, make=0o755) as (folder, name):
        partial = f".partial-{secrets.token_hex(8)}"
        descriptor = _create(folder, partial, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                if isinstance(data, bytes):
                    stream.write(data)
                else:
                    shutil.copyfileobj(data, stream, 1 << 20)
                if user is not None:
                    os.fchown(descriptor, user, -1)
                os.fchmod(descriptor, mode)
            os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException as error:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            if isinstance(error, IsADirectoryError):
                raise NotPlainError(path, "a folder") from None
            raise


def emptied(base: Path, path: str) -> int:
    """A descriptor that appends to the file at `path`, which is made or emptied.

    Raises:
        NotPlainError: something else is there, or a file that has another name too.
    """
    with _parent(base, path, make=0o755) as (folder, name):
        flags = os.O_WRONLY | os.O_APPEND
        try:
            descriptor = _open(folder, name, flags, path)
        except FileNotFoundError:
            return _create(folder, name, 0o644, flags)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise NotPlainError(path, "a file with a second name", "one with this name alone")
    os.ftruncate(descriptor, 0)
    return descriptor


def make_folder(base: Path, path: str, *, mode: int, user: int | None = None) -> None:
    """Make the folder at `path`, and those above it, where they are missing; give it to `user`.

    Raises:
        NotPlainError: something else is there or on the way.
    """
    with _parent(base, path, make=0o755) as (folder, name):
        descriptor = _made(folder, name, path, mode)
    try:
        if user is not None:
            os.fchown(descriptor, user, -1)
    finally:
        os.close(descriptor)


def identity(base: Path, path: str) -> tuple[int, int]:
    """Device and inode of what is at `path`, which tell it from whatever takes its place later.

    Raises:
        FileNotFoundError: nothing is there.
        NotPlainError: a link, or a way that leads through something else than folders.
    """
    with _parent(base, path) as (folder, name):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise NotPlainError(path, kind(found.st_mode), "a file or folder")
    return found.st_dev, found.st_ino


@contextmanager
def _parent(base: Path, path: str, *, make: int | None = None) -> Iterator[tuple[int, str]]:
    """A descriptor of the folder that `path` is in, and its name there."""
    *folders, name = _parts(path)
    descriptor = _walk(base, folders, path, make=make)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


def _parts(path: str) -> Sequence[str]:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise NotPlainError(path, "a path that leaves its folder", "one inside of it")
    return parts


def _walk(base: Path, parts: Sequence[str], path: str, *, make: int | None) -> int:
    here = _enter(None, str(base), str(base), os.O_PATH)
    for part in parts:
        try:
            if make is None:
                inner = _enter(here, part, path, os.O_PATH)
            else:
                inner = _made(here, part, path, make)
        finally:
            os.close(here)
        here = inner
    return here


def _made(folder: int, name: str, path: str, mode: int) -> int:
    try:
        os.mkdir(name, mode, dir_fd=folder)
    except FileExistsError:
        return _enter(folder, name, path)
    inner = _enter(folder, name, path)
    try:
        os.fchmod(inner, mode)  # whatever the umask
    except OSError:
        os.close(inner)
        raise
    return inner


def _enter(folder: int | None, name: str, path: str, access: int = os.O_RDONLY) -> int:
    """A folder's descriptor; one that only leads on, O_PATH, needs no right to list the folder."""
    try:
        return os.open(name, access | os.O_DIRECTORY | _SAFELY, dir_fd=folder)
    except PermissionError:
        raise NotPlainError(
            path, f"no right to enter {Path(name).name}", "a folder to enter"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
    found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    raise NotPlainError(path, f"{kind(found)} at {Path(name).name}", "a folder")


def _open(folder: int, name: str, flags: int, path: str) -> int:
    # A device may act on being opened, so it is looked at before as well.
    _check(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, path)
    try:
        descriptor = os.open(name, flags | _SAFELY, dir_fd=folder)
    except PermissionError:
        raise NotPlainError(path, "a file without the right to it") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPlainError(path, "something else than a moment before") from None
        raise
    try:
        _check(os.fstat(descriptor).st_mode, path)
    except NotPlainError:
        os.close(descriptor)
        raise
    return descriptor


def _create(folder: int, name: str, mode: int, flags: int = os.O_WRONLY) -> int:
    return os.open(name, flags | os.O_CREAT | os.O_EXCL | _SAFELY, mode, dir_fd=folder)


def _check(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        raise NotPlainError(path, kind(mode))
