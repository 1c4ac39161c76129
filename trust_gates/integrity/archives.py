"""Which files does this one hold? Itself, and all that a reader of archives would take out of it.

An archive is known by whether its readers open it, not by its name or its first bytes: a zip may
stand behind a picture, and a tar may look like text.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

ZIP, TAR, COMPRESSED = "a zip archive", "a tar archive", "a compressed file"
SUFFIXES = frozenset({".gz", ".tgz", ".bz2", ".xz", ".lzma", ".z"})
"""Endings of compressed files."""

LARGEST = 64 << 20
"""Bytes of one file inside of an archive."""

_MOST = 512 << 20
"""Bytes of all of them together: an archive within archives grows with every level."""

_DEEPEST = 4
_LOCAL, _LOCAL_SIZE = b"PK\x03\x04", 30


@dataclass(frozen=True, slots=True)
class Part:
    """A file in an archive, at any depth; or the outermost one, whose name is empty."""

    where: str
    """Its place in the outermost one; empty for that itself."""

    name: str
    data: bytes
    archive: str
    """Which kind of archive it is in turn, if it is one."""

    @property
    def told(self) -> str:
        """How a reason begins that is about this part."""
        return f"in {self.where}: " if self.where else ""


def parts(name: str, data: bytes) -> Iterator[Part]:
    """The file of that name with these bytes, and each that it holds.

    Raises:
        ValueError: something in it cannot be examined, because it is too large, too deep, torn or
            no file.
    """
    spent = 0
    waiting = [("", name, data, 0)]
    while waiting:
        where, name, part, depth = waiting.pop()
        spent += len(part) if depth else 0
        if len(part) > LARGEST or spent > _MOST:
            raise ValueError(f"{where} is larger than {LARGEST >> 20} MiB unpacked".strip())
        if depth > _DEEPEST:
            raise ValueError(f"it is an archive more than {_DEEPEST} deep")
        try:
            archive, members = _opened(name, part)
        except _BROKEN as error:
            raise ValueError(f"{where} {type(error).__name__}: {error}".strip()) from None
        yield Part(where, name, part, archive)
        waiting += [
            (f"{where}/{inside}" if where else inside, PurePosixPath(inside).name, inner, depth + 1)
            for inside, inner in members
        ]


def zipped(stream: IO[bytes]) -> bool:
    """Whether a reader of zip archives would open the file, wherever in it the archive begins."""
    try:
        with zipfile.ZipFile(stream) as archive:
            return bool(archive.infolist())
    except _BROKEN:
        return False


def tarred(head: bytes) -> bool:
    """Whether a reader of tar archives would, by its first 512 bytes."""
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _opened(name: str, data: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if zipped(io.BytesIO(data)):
        return ZIP, list(_unzipped(data))
    if data.startswith(_LOCAL):
        raise ValueError("it begins as a zip archive does, and is none")
    if tarred(data):
        return TAR, list(_untarred(data))
    for magics, expand in _COMPRESSED:
        if data.startswith(magics):
            try:
                return COMPRESSED, [(_inner(name), expand(data))]
            except _BROKEN:
                continue  # text may begin as a compressed file does
    return "", []


def _unzipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        _nothing_between(data, members, archive.start_dir)
        for member in members:
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"its member {member.filename} is a link or a device")
            if member.file_size > LARGEST:
                raise ValueError(f"its member {member.filename} is too large to examine")
            if not member.is_dir():
                with archive.open(member) as stream:
                    yield member.filename, stream.read(LARGEST + 1)


def _nothing_between(data: bytes, members: list[zipfile.ZipInfo], directory: int) -> None:
    """Readers that go through a zip from its start find members that its directory leaves out."""
    at = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if _LOCAL in data[at : member.header_offset]:
            break
        lengths = data[member.header_offset + 26 : member.header_offset + _LOCAL_SIZE]
        names = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        at = member.header_offset + _LOCAL_SIZE + names + member.compress_size
    else:
        if _LOCAL not in data[at:directory]:
            return
    raise ValueError("it holds members that its directory does not name")


def _untarred(data: bytes) -> Iterator[tuple[str, bytes]]:
    # Some readers go on behind the end of an archive, where another may have been put.
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", ignore_zeros=True) as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"its member {member.name} is a link or a device")
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name, stream.read(LARGEST + 1)


def _inner(name: str) -> str:
    """What is left of a compressed file's name."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else f"{path.name} unpacked"


def _bounded(opener: Callable[[io.BytesIO], io.BufferedIOBase]) -> Callable[[bytes], bytes]:
    # Read one byte more than allowed: a bomb is refused by size, never unpacked whole.
    return lambda data: opener(io.BytesIO(data)).read(LARGEST + 1)


def _zlib(data: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    expanded = decompressor.decompress(data, LARGEST + 1)
    if len(expanded) <= LARGEST and not decompressor.eof:
        raise EOFError("it ends before its end")
    return expanded


_BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error),
)
_COMPRESSED: tuple[tuple[tuple[bytes, ...], Callable[[bytes], bytes]], ...] = (
    ((b"\x1f\x8b",), _bounded(lambda stream: gzip.GzipFile(fileobj=stream))),
    ((b"BZh",), _bounded(bz2.BZ2File)),
    ((b"\xfd7zXZ\x00", b"\x5d\x00\x00"), _bounded(lzma.LZMAFile)),
    (tuple(bytes([0x08 | window << 4]) for window in range(8)), _zlib),
)
