"""What do commands ask of the place that remembers runs, be it a folder or a cluster?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One PipelineRun or TaskRun: the object as created, and its status so far."""

    name: str
    manifest: Mapping[str, Any]
    status: Mapping[str, Any]
    done: bool
    created: float
    """Seconds since the epoch."""


class Memory(Protocol):
    """The runs of one place."""

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        ...

    def run(self, name: str) -> Run | None:
        """The run called `name`, or None."""
        ...

    def taskruns(self, run: str) -> dict[str, dict[str, Any]]:
        """The status of each TaskRun of `run` by name, in order of creation."""
        ...

    def taskrun_manifests(self, run: str) -> dict[str, dict[str, Any]]:
        """The object of each TaskRun of `run` by name."""
        ...

    def cached_of(self, run: str) -> tuple[int, int]:
        """How many TaskRuns of `run` have their results from the cache, and how many it has."""
        ...

    def set_spec_status(self, name: str, value: str) -> bool:
        """Set `spec.status` of an unfinished run; False where it is absent or has ended."""
        ...
