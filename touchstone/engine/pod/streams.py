"""Where does a process's output go? To its log, and to the files its step names as well."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from touchstone import beneath
from touchstone.beneath import NotPlainError

_CHUNK = 1 << 16
_LINGER = 3.0
"""Seconds given to what is still in a pipe when the process is gone."""


class Place(NamedTuple):
    """Where on this machine something is that a process named: `path` below the folder `base`."""

    base: Path
    path: str


class Streams:
    """Standard input, output and error of one process, used as a context around its life.

    `stdout` and `stderr` are files that get a copy of what goes to `log`; the same file for both
    holds them as they came. Entering raises OSError or NotPlainError where one cannot be written.
    """

    def __init__(
        self, log: Path, *, stdout: Place | None = None, stderr: Place | None = None
    ) -> None:
        self._log, self._copies = log, (stdout, stderr)
        self._theirs: list[int] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> list[int]:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._theirs = [os.open(os.devnull, os.O_RDONLY)]
        files: dict[Place, int] = {}
        try:
            for copy in self._copies:
                if copy is None:
                    self._theirs.append(os.dup(log))
                    continue
                if copy not in files:
                    files[copy] = beneath.emptied(*copy)
                self._theirs.append(self._split(os.dup(log), os.dup(files[copy])))
        except (OSError, NotPlainError):
            self.started()
            raise
        finally:
            for descriptor in (log, *files.values()):
                os.close(descriptor)
        return self._theirs

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.started()
        for thread in self._threads:
            thread.join(_LINGER)

    def started(self) -> None:
        """The process has its own copies of the descriptors: close ours, so that a pipe ends."""
        while self._theirs:
            os.close(self._theirs.pop())

    def _split(self, *targets: int) -> int:
        """A pipe whose content goes to all `targets`; its end for writing."""
        reader, writer = os.pipe()

        def copy() -> None:
            try:
                while chunk := os.read(reader, _CHUNK):
                    for target in targets:
                        os.write(target, chunk)
            finally:
                for descriptor in (reader, *targets):
                    os.close(descriptor)

        thread = threading.Thread(target=copy, daemon=True)
        self._threads.append(thread)
        thread.start()
        return writer
