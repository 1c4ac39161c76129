"""Is there a pickle in this file, or anything that cannot be told from one?

Loading a pickle runs whatever it says. Scanners pass malicious ones, so none is accepted at all,
and no file whose format is not known: what its ending and its bytes say must be the same.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from trust_gates.integrity import archives, formats, tree, unpickling
from trust_gates.integrity.tree import Bytes

SUFFIXES = frozenset(
    {".pkl", ".pickle", ".p", ".joblib", ".dill", ".pt", ".pth", ".ckpt", ".bin", ".mar", ".npy"}
)
"""Endings that loaders unpickle without asking."""

_WHOLE = (".safetensors", ".onnx")
"""Endings of files that are as large as a model is."""


def reason(path: Path) -> str:
    """Why the file may be a pickle; empty when it is none. What cannot be read counts as one."""
    if path.suffix.lower() in SUFFIXES:
        return f"its ending {path.suffix} is one that loaders unpickle"
    try:
        with tree.mapped(path) as data:
            large = len(data) > archives.LARGEST or path.suffix.lower() in _WHOLE
            return _large(path, data) if large else _parts(path.name, data[:])
    except (OSError, ValueError) as error:
        return f"it could not be examined ({error})"


def _parts(name: str, data: bytes) -> str:
    for part in archives.parts(name, data):
        suffix = PurePosixPath(part.name).suffix.lower()
        if part.where and suffix in SUFFIXES - {".npy"}:
            return f"the archive holds {part.where}"
        why = _against(part.name, part.data, part.archive)
        if not why and not part.archive and formats.is_text(part.data):
            why = unpickling.hidden(part.data)
        if why:
            return part.told + why
    return ""


def _large(path: Path, data: Bytes) -> str:
    """What is never unpacked may be no archive either, wherever in it that would begin."""
    with tree.opened(path) as stream:
        if archives.tarred(data[:512]) or archives.zipped(stream):
            return f"it is an archive of more than {archives.LARGEST >> 20} MiB, or named as none"
    return _against(path.name, data, "")


def _against(name: str, data: Bytes, archive: str) -> str:
    return unpickling.reason(data) or formats.reason(name, data, archive)
