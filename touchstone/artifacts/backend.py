"""What must a place be able to do that blobs and references are kept in? One Protocol, and streams.

A backend moves bytes and names; digests, trees and what counts as tampered are the store's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from touchstone.beneath import Readable
from touchstone.errors import PlatformError


class Backend(Protocol):
    """Keeps blobs under their digests and references under their names.

    Digests and names reach it well-formed. Every method raises PlatformError, saying what to do,
    where the place cannot be reached or refuses.
    """

    at_once: int
    """How many files of a tree are moved at the same time."""

    remote: str
    """The URI by which other machines reach it; empty of a folder."""

    def __str__(self) -> str:
        """What people know the place by: a path or a URI, without a credential."""

    def contains(self, digest: str) -> bool: ...

    def opened(self, digest: str) -> AbstractContextManager[Readable]:
        """The blob for reading, as it is kept.

        Raises:
            FileNotFoundError: it is not here.
        """

    def put(self, digest: str, source: Readable, size: int) -> None:
        """Keep what `source` reads: whole under its name, or, where reading raises, not at all."""

    def bind(self, digest: str, parts: Iterable[str]) -> None:
        """Say that a blob just stored stands for these others too, so that none is swept away."""

    def ref(self, name: str) -> str | None: ...

    def set_ref(self, name: str, digest: str) -> None: ...

    def refs(self, under: str) -> Iterator[str]:
        """The names of all references below `under`, `runs/model-1` say."""

    def remedy(self, digest: str) -> str:
        """What to do about a blob that is damaged: the place that it is to be removed from."""


class Chunks:
    """A stream out of chunks, which goes on where it broke off.

    `begin(offset)` gives the chunks from a byte on; after an error that `passes` holds for, it is
    asked again for what is missing, as long as each try gets further or `tries` are left.
    """

    def __init__(
        self,
        begin: Callable[[int], Iterable[bytes]],
        *,
        passes: Callable[[Exception], bool],
        tries: int = 5,
    ) -> None:
        self._begin = begin
        self._passes = passes
        self._tries = self._left = tries
        self._offset = 0
        self._chunks = iter(begin(0))
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        parts, missing = [], size
        while missing:
            if not self._rest:
                self._rest = self._next()
                if not self._rest:
                    break
            part = self._rest if missing < 0 else self._rest[:missing]
            self._rest = self._rest[len(part) :]
            missing -= len(part) if missing > 0 else 0
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the connection, also before the end."""
        if isinstance(self._chunks, Generator):
            self._chunks.close()

    def _next(self) -> bytes:
        while True:
            try:
                chunk = bytes(next(self._chunks, b""))
            except Exception as error:
                if not self._left or not self._passes(error):
                    raise
                time.sleep(0.2 * 2 ** (self._tries - self._left))
                self._left -= 1
                self._chunks = iter(self._begin(self._offset))
                continue
            if chunk:
                self._left = self._tries
                self._offset += len(chunk)
            return chunk


def local_only(backend: object, what: str) -> PlatformError:
    """The error of who needs a store in a folder of this machine, and got another one."""
    return PlatformError(
        f"got the store {backend}, expected one in a folder of this machine for {what}",
        hint="an object store or registry has a life cycle of its own: set it there",
    )
