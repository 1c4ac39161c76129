"""Which versions of everything do steps run with here? Told so that any change shows.

Our own code is told by its content. Of installed packages and of the machine's programs, which
are too many to read, what an installation cannot leave as it was: the RECORD of each package, the
time of each folder on PATH, and the system's package database.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from touchstone.artifacts.store import digest_bytes, digest_file
from touchstone.home import SHIPPED

_PACKAGES = Path(__file__).parents[3]
_OURS = (
    _PACKAGES / "touchstone",
    _PACKAGES / "trust_gates",
    SHIPPED / "scripts",
    SHIPPED / "training",
)
_DATABASES = ("/var/lib/dpkg/status", "/lib/apk/db/installed", "/var/lib/rpm/rpmdb.sqlite")


def tools() -> dict[str, Any]:
    """The versions of this moment; an equal answer means that nothing was changed in between."""
    return {
        "python": sys.version,
        "code": _code(),
        "packages": _packages(),
        "machine": [_stamp(Path(name)) for name in _DATABASES],
        "path": [_stamp(Path(name)) for name in os.environ.get("PATH", "").split(os.pathsep)],
        "kernel": [*os.uname()[::2], os.cpu_count(), _driver()],
    }


def _code() -> str:
    lines = []
    for folder in _OURS:
        for root, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                path = Path(root) / name
                found = path.stat()
                digest = _digest(
                    path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
                )
                lines.append(f"{path.relative_to(folder.parent)} {digest}")
    return digest_bytes("\n".join(lines).encode())


@lru_cache(maxsize=4096)
def _digest(path: Path, *_state: int) -> str:
    """A file's digest, read anew where its inode, size or times are others than the last time."""
    return digest_file(path)


def _packages() -> str:
    stamps = []
    for folder in sys.path:
        for record in sorted(Path(folder or ".").glob("*.dist-info/RECORD")):
            stamps.append(_stamp(record))
    return digest_bytes("\n".join(map(str, stamps)).encode())


def _driver() -> str:
    """NVIDIA's driver, whose version may change what a GPU computes; empty where there is none."""
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return ""


def _stamp(path: Path) -> list[Any]:
    try:
        stat = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), stat.st_size, stat.st_mtime_ns]
