"""Is there a pickle in this file? By name, by its first bytes, and inside archives.

Loading a pickle runs whatever it says. Scanners pass malicious ones, so none is accepted at all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

SUFFIXES = frozenset(
    {".pkl", ".pickle", ".p", ".joblib", ".dill", ".pt", ".pth", ".ckpt", ".bin", ".mar", ".npy"}
)
"""Endings that loaders unpickle without asking."""

_LARGEST = 64 << 20
_DEEPEST = 4
_TEXT_PICKLE = 4096
"""Protocol 0 and 1 pickles have no mark at the start; only so small a file is parsed for one."""


def reason(path: Path) -> str:
    """Why the file may be a pickle; empty when it is none. What cannot be read counts as one."""
    if path.suffix.lower() in SUFFIXES:
        return f"its ending {path.suffix} is one that loaders unpickle"
    try:
        if path.stat().st_size > _LARGEST and path.suffix == ".safetensors":
            with path.open("rb") as stream:
                return _inside(stream.read(_TEXT_PICKLE), 0)
        return _inside(path.read_bytes(), 0)
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
    ) as error:
        return f"it could not be examined ({type(error).__name__}: {error})"


def _inside(data: bytes, depth: int) -> str:
    if depth > _DEEPEST:
        return f"it is an archive more than {_DEEPEST} deep"
    if len(data) > _LARGEST:
        return f"it is larger than {_LARGEST >> 20} MiB and no safetensors file"
    if data[:1] == b"\x80" and data[1:2] and data[1] <= 5:
        return f"it starts as a pickle of protocol {data[1]} does"
    if data.startswith(b"\x93NUMPY"):
        return "it is a numpy array of objects" if b"|O" in data[:_TEXT_PICKLE] else ""
    for magic, expand in _COMPRESSED.items():
        if data.startswith(magic):
            inner = _inside(expand(data), depth + 1)
            return f"compressed inside, {inner}" if inner else ""
    if data.startswith(b"PK\x03\x04"):
        return _members(data, depth)
    if data[257:262] == b"ustar":
        return _tar_members(data, depth)
    if len(data) <= _TEXT_PICKLE and _parses(data):
        return "it parses as a pickle"
    return ""


def _members(data: bytes, depth: int) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if Path(member.filename).suffix.lower() in SUFFIXES - {".npy"}:
                return f"the archive holds {member.filename}"
            if member.file_size > _LARGEST:
                return f"its member {member.filename} is too large to examine"
            inner = _inside(archive.read(member), depth + 1)
            if inner:
                return f"in {member.filename}: {inner}"
    return ""


def _tar_members(data: bytes, depth: int) -> str:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if Path(member.name).suffix.lower() in SUFFIXES:
                return f"the archive holds {member.name}"
            inner = _inside(stream.read(_LARGEST + 1), depth + 1) if stream else ""
            if inner:
                return f"in {member.name}: {inner}"
    return ""


def _parses(data: bytes) -> bool:
    try:
        operations = list(pickletools.genops(data))
    except Exception:  # noqa: BLE001 (genops raises anything on what is no pickle)
        return False
    # Two operations are the least that build something; plain text can be shorter by accident.
    return len(operations) > 1 and operations[-1][0].name == "STOP"


def _bounded(opener: Callable[[io.BytesIO], io.BufferedIOBase]) -> Callable[[bytes], bytes]:
    # Read one byte more than allowed: a bomb is refused by size, never unpacked whole.
    return lambda data: opener(io.BytesIO(data)).read(_LARGEST + 1)


def _zlib(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _LARGEST + 1)


_COMPRESSED: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": _bounded(lambda stream: gzip.GzipFile(fileobj=stream)),
    b"BZh": _bounded(bz2.BZ2File),
    b"\xfd7zXZ\x00": _bounded(lzma.LZMAFile),
    b"\x5d\x00\x00": _bounded(lzma.LZMAFile),
    b"\x78\x01": _zlib,
    b"\x78\x5e": _zlib,
    b"\x78\x9c": _zlib,
    b"\x78\xda": _zlib,
}
