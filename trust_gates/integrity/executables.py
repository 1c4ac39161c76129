"""Is there anything in this file that a machine, a shell or a loader would run?

Python files are left to the digests: they must be those of the commit.
"""

from __future__ import annotations

import json
from pathlib import Path

from trust_gates.integrity import onnx_files

_MAGIC = {
    b"\x7fELF": "an ELF program or library",
    b"MZ": "a Windows program or library",
    b"\xcf\xfa\xed\xfe": "a Mach-O program or library",
    b"\xce\xfa\xed\xfe": "a Mach-O program or library",
    b"\xca\xfe\xba\xbe": "a Java class or a Mach-O library",
    b"\x00asm": "a WebAssembly module",
    b"#!": "a script with an interpreter in its first line",
}
_SUFFIXES = frozenset(
    [
        *(".so", ".pyd", ".dll", ".dylib", ".exe", ".com", ".msi", ".wasm"),
        *(".sh", ".bash", ".bat", ".cmd", ".ps1", ".vbs", ".js", ".pth"),
        *(".jar", ".class", ".pyc", ".pyo", ".egg", ".whl", ".deb", ".rpm", ".apk"),
        *(".h5", ".hdf5", ".keras", ".pb"),
    ]
)
"""Endings of what is run or imported; Keras files and TensorFlow graphs may carry code."""


def reason(path: Path) -> str:
    """Why the file may run code; empty when it does not. What cannot be read counts as if."""
    suffix = path.suffix.lower()
    if suffix == ".py":
        return ""
    if suffix in _SUFFIXES or ".so." in path.name:
        return f"its ending {path.suffix} is one that is run or imported"
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        for magic, kind in _MAGIC.items():
            if start.startswith(magic):
                return f"it is {kind}"
        if suffix == ".ipynb":
            return _notebook(path)
        return onnx_files.reason(path) if suffix == ".onnx" else ""
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"it could not be examined ({type(error).__name__}: {error})"


def _notebook(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8")).get("cells", [])
    run = sum(bool(cell.get("outputs")) for cell in cells)
    return f"it is a notebook with the outputs of {run} cells" if run else ""
