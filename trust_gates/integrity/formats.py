"""Which of the formats that a model may hold is this file in, and is it the one it is named for?

What is in none of them cannot be told from something that a loader runs, so only these are
accepted. Each is read to its last byte, as far as that is needed to know that nothing else follows.
"""

from __future__ import annotations

import codecs
import io
import json
import math
from pathlib import PurePosixPath

import numpy as np

from trust_gates.integrity import archives, tensors
from trust_gates.integrity.tree import Bytes

TEXT = "UTF-8 text"
_PNG, _JPEG, _NPY = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY"
_CHUNK = 16 << 20
_JSON_MOST = 64 << 20
_KNOWN = "safetensors, ONNX, npz, zip, tar, UTF-8 text, PNG or JPEG"

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    **dict.fromkeys(((2, 0), (3, 0)), np.lib.format.read_array_header_2_0),
}
"""Of numpy arrays by version; the third differs from the second in the letters of names alone."""

_ENDINGS = {
    **dict.fromkeys(
        (
            *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".ipynb", ".yaml", ".yml"),
            *(".toml", ".cfg", ".ini", ".py", ".html", ".xml", ".svg", ".vocab", ".lock"),
        ),
        TEXT,
    ),
    ".png": "a PNG image",
    ".jpg": "a JPEG image",
    ".jpeg": "a JPEG image",
    **dict.fromkeys((".npz", ".zip"), archives.ZIP),
    ".tar": archives.TAR,
    **dict.fromkeys(archives.SUFFIXES, archives.COMPRESSED),
}


def reason(name: str, data: Bytes, archive: str = "") -> str:
    """What is against a file of that name with these bytes; empty when nothing is.

    Args:
        archive: which kind of archive it is, if it is one; its members are other files.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if not len(data) or suffix == ".onnx":  # whether it is ONNX is asked where its operators are
        return ""
    if suffix == ".safetensors":
        try:
            tensors.header(data)
        except ValueError as error:
            return f"it is no safetensors file ({error})"
        return ""
    got = archive or _format(data)
    expected = _ENDINGS.get(suffix, got)
    if not got or got != expected:
        return f"it is {got or 'in no format known here'}, expected {expected or _KNOWN}"
    if suffix in (".json", ".ipynb"):
        return _json(data)
    return _array(data) if got == "a numpy array" else ""


def _format(data: Bytes) -> str:
    if data[:8] == _PNG:
        return "a PNG image" if _is_png(data) else ""
    if data[:3] == _JPEG:
        return "a JPEG image" if data[-2:] == b"\xff\xd9" else ""
    if data[:6] == _NPY:
        return "a numpy array"
    return TEXT if is_text(data) else ""


def is_text(data: Bytes) -> bool:
    """UTF-8 without the byte 0, which byte code, programs and archives all have."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            part = data[start : start + _CHUNK]
            if b"\0" in part:
                return False
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_png(data: Bytes) -> bool:
    """Whether it is made of chunks to its last byte, and ends with the last of them."""
    at, size = len(_PNG), len(data)
    while at + 12 <= size:
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            break
    return at == size


def _json(data: Bytes) -> str:
    if len(data) > _JSON_MOST:
        return f"it is JSON of more than {_JSON_MOST >> 20} MiB"
    try:
        json.loads(data[:].decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return f"it is no JSON ({error})"
    return ""


def _array(data: Bytes) -> str:
    """Objects in a numpy array are pickled; so may be what stands behind an array."""
    try:
        with io.BytesIO(data[:]) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"got its format {version}")
            shape, _, dtype = _HEADERS[version](stream)
            if dtype.hasobject:
                return "it is a numpy array of objects"
            if stream.tell() + math.prod(shape) * dtype.itemsize != len(data):
                return "it is a numpy array with other bytes behind it, or too few"
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        return f"it is no numpy array ({error})"
    return ""
