"""How is a log of any length kept within a size? Its beginning and its end, in a few files."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_PARTS = 3
"""The beginning, and two of the end: while one grows, the one before it is whole."""


class BoundedLog:
    """A log in the files of `folder`, of at most about `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._part = folder, max(1, limit // _PARTS)
        self._head, self._tail = self._open("head"), self._open("tail")
        self._sizes = {"head": 0, "tail": 0, "before": 0}
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Append; what is neither of the beginning nor of the end is forgotten."""
        if not self._sizes["tail"] and self._sizes["head"] + len(data) <= self._part:
            self._head.write(data)
            self._sizes["head"] += len(data)
            return
        data = data[-self._part :]
        if self._sizes["tail"] + len(data) > self._part:
            self._tail.close()
            (self._folder / "tail").replace(self._folder / "before")
            self._left_out += self._sizes["before"]
            self._tail, self._sizes["before"], self._sizes["tail"] = self._open("tail"), 0, 0
            self._sizes["before"] = (self._folder / "before").stat().st_size
        self._tail.write(data)
        self._sizes["tail"] += len(data)

    def whole(self) -> Path:
        """One file with all of it, and a line that says how much is missing where."""
        self.close()
        path = self._folder / "whole"
        with path.open("wb") as stream:
            stream.write((self._folder / "head").read_bytes())
            if self._left_out:
                stream.write(b"\n... %d bytes are left out here ...\n" % self._left_out)
            for name in ("before", "tail"):
                if (self._folder / name).exists():
                    stream.write((self._folder / name).read_bytes())
        return path

    def close(self) -> None:
        """Write what is in memory."""
        self._head.close()
        self._tail.close()

    def _open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("wb")
