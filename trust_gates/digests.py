"""Which bytes were judged? Digests of files and folders, and whether they stayed the same.

A folder's digest is that of the artifact store's listing (every file with its digest and executable
bit), so that a tree judged outside of a pipeline has the name that a pipeline gave it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TREE_TYPE = "application/vnd.touchstone.tree.v1+json"
"""What a folder's listing says that it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Files and folders by what they are for, with their digests before anything was read."""

    paths: Mapping[str, Path]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, **paths: Path | None) -> Held:
        """Those that are given and are there: who reads another says that it is absent.

        Raises:
            ValueError: one cannot be read.
        """
        given = {name: path for name, path in paths.items() if path is not None}
        found = {name: digest for name, path in given.items() if (digest := of(path))}
        return cls(paths=given, digests=found)

    def confirm(self) -> None:
        """Raises ValueError where one is another by now: nobody knows which bytes were judged."""
        for name, path in self.paths.items():
            now, before = of(path), self.digests.get(name, "")
            if now != before:
                raise ValueError(
                    f"the {name} changed while it was judged: {path} was {before or 'absent'} and "
                    f"is {now or 'absent'}; judge it again where nobody writes to it"
                )


def of(path: Path) -> str:
    """`sha256:<64 hex digits>` of a file's bytes or a folder's listing; empty where it is neither.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return _of_folder(path) if path.is_dir() else of_file(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; expected what can be read") from None
    except RecursionError:
        raise ValueError(f"{path}: got folders nested too deep to list, expected fewer") from None


def of_file(file: Path) -> str:
    """`sha256:<64 hex digits>` of a file's bytes; empty where it is none."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def _of_folder(folder: Path) -> str:
    entries: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            executable = bool(path.stat().st_mode & 0o111)
            entries[name] = {"digest": of_file(path), "executable": executable}
        elif path.is_symlink():  # no store takes it; here it is part of what was judged
            entries[name] = {"link": str(path.readlink())}
        elif not path.is_dir():
            entries[name] = {"special": True}
    document = {"type": TREE_TYPE, "entries": entries}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
