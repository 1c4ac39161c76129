"""Is there anything in this file that a machine, a shell or a loader would run?

Python files are left to the digests: they must be those of the commit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from trust_gates.integrity import archives, estimators, formats, onnx_files, tree
from trust_gates.integrity.tree import Bytes

_MAGIC = {
    b"\x7fELF": "an ELF program or library",
    b"\xcf\xfa\xed\xfe": "a Mach-O program or library",
    b"\xce\xfa\xed\xfe": "a Mach-O program or library",
    b"\xfe\xed\xfa\xcf": "a Mach-O program or library",
    b"\xfe\xed\xfa\xce": "a Mach-O program or library",
    b"\xca\xfe\xba\xbe": "a Java class or a Mach-O library",
    b"\xca\xfe\xba\xbf": "a Mach-O library",
    b"\xbe\xba\xfe\xca": "a Mach-O library",
    b"!<arch>\n": "an archive of object files",
    b"dex\n": "Android byte code",
    b"BC\xc0\xde": "LLVM byte code",
    b"\x00asm": "a WebAssembly module",
}
_SUFFIXES = frozenset(
    [
        *(".so", ".pyd", ".dll", ".dylib", ".exe", ".com", ".msi", ".wasm", ".node", ".o", ".a"),
        *(".sh", ".bash", ".zsh", ".fish", ".ksh", ".csh", ".bat", ".cmd", ".ps1", ".psm1"),
        *(".vbs", ".js", ".mjs", ".cjs", ".pl", ".rb", ".php", ".lua", ".pth", ".desktop", ".lnk"),
        *(".jar", ".class", ".pyc", ".pyo", ".pyw", ".pyz", ".egg", ".whl", ".deb", ".rpm", ".apk"),
        *(".h5", ".hdf5", ".keras", ".pb"),
    ]
)
"""Endings of what is run or imported; Keras files and TensorFlow graphs may carry code."""

_BEFORE_TEXT = b"\xef\xbb\xbf\xff\xfe \t\r\n\v\f"
"""A mark of the byte order and white space, which shells skip."""

_OBJECTS = {
    (".yaml", ".yml"): re.compile(
        rb"!!python/|tag:yaml\.org,2002:python/|(?m:^%TAG\b)|![\w!<:.,/-]*%[0-9A-Fa-f]{2}"
    ),
    (".json", ".jsonl"): re.compile(rb'"py/(object|reduce|function|type|repr|newargs\w*)"\s*:'),
}
"""How YAML and jsonpickle write a call of a Python function; YAML also by another name for its tag,
which no data needs: a directive %TAG, or letters as %70."""


def reason(path: Path, packages: Collection[str] = ()) -> str:
    """Why the file may run code; empty when it does not. What cannot be read counts as if.

    Args:
        packages: names of those that the model repository pins, whose types an estimator may hold.
    """
    suffix = path.suffix.lower()
    if suffix == ".py":
        return ""
    if suffix in _SUFFIXES or ".so." in path.name:
        return f"its ending {path.suffix} is one that is run or imported"
    try:
        with tree.mapped(path) as data:
            if len(data) > archives.LARGEST or suffix in (".onnx", ".safetensors"):
                return _against(path.name, data)
            for part in archives.parts(path.name, data[:]):
                if why := _against(part.name, part.data, inside=bool(part.where)):
                    return part.told + why
            if suffix == estimators.SUFFIX:
                return estimators.reason(data[:], packages)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        return f"it could not be examined ({type(error).__name__}: {error})"
    return ""


def _against(name: str, data: Bytes, *, inside: bool = False) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    if inside and (suffix in _SUFFIXES or suffix == ".py"):
        return f"its ending {suffix} is one that is run or imported"
    head = data[:64]
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return f"it is {kind}"
    if head.lstrip(_BEFORE_TEXT).replace(b"\0", b"").startswith(b"#!"):
        return "it is a script with an interpreter in its first line"
    if head.startswith((b"MZ", b"ZM")) and not formats.is_text(data):
        return "it is a Windows program or library"
    if suffix == ".ipynb":
        return _notebook(data)
    for suffixes, call in _OBJECTS.items():
        if suffix in suffixes and call.search(data):
            return "it makes objects of Python when it is loaded"
    return onnx_files.reason(data[:]) if suffix == ".onnx" else ""


def _notebook(data: Bytes) -> str:
    cells = json.loads(data[:].decode("utf-8")).get("cells", [])
    run = sum(bool(cell.get("outputs")) for cell in cells)
    return f"it is a notebook with the outputs of {run} cells" if run else ""
