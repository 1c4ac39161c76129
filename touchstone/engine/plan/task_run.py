"""What is one TaskRun to do, and what does it share with the others of its run?"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from touchstone.engine.language.substitute import Scope, Value
from touchstone.engine.plan.references import References
from touchstone.engine.pod.breakpoints import Breakpoints
from touchstone.engine.pod.credentials import DEFAULT_ACCOUNT
from touchstone.engine.pod.notices import Notice
from touchstone.engine.pod.process import Guard, Halt
from touchstone.engine.pod.workspaces import Folders
from touchstone.runs.record import RESULT_LIMIT, Json

DEFAULT_TIMEOUT = 3600.0
"""Seconds, as in Tekton by default; 0 means none."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Labels and annotations of an object."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlannedTaskRun:
    """What one TaskRun is to do."""

    task: str
    """Name shown to people: the pipeline task's, or the TaskRun's own."""

    task_name: str
    """What $(context.task.name) says."""

    taskrun: str
    spec: Mapping[str, Any]
    params: Mapping[str, Value]
    bindings: Mapping[str, Mapping[str, Any]]
    """Workspace bindings by the workspace's name in the Task."""

    surroundings: Scope = field(default_factory=Scope)
    """References an embedded taskSpec may make to the pipeline around it."""

    source: Json | None = None
    """refSource of a Task that was fetched, for status.provenance."""

    ignored: bool = False
    """Whether a failure lets the pipeline go on: onError: continue of the pipeline task."""

    timeout: float = DEFAULT_TIMEOUT
    retries: int = 0
    pod: Mapping[str, Any] = field(default_factory=dict)
    """The podTemplate: its securityContext, env and volumes count here."""

    breakpoints: Breakpoints = field(default_factory=Breakpoints)
    metadata: Metadata = field(default_factory=Metadata)
    """Of the TaskRun, and so of its Pod."""

    account: str = DEFAULT_ACCOUNT
    """The ServiceAccount whose Secrets bring git and registry credentials."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the TaskRuns of one run share."""

    folders: Folders
    guard: Guard
    notify: Callable[[Notice], None]
    save: Callable[[str, Json], None]
    """Store a TaskRun's status; called whenever it changed enough to be worth keeping."""

    turn: Callable[[PlannedTaskRun, Halt], AbstractContextManager[Turn]]
    """Entered before anything of a TaskRun runs, left when it ended; see `engine.run.turn`."""

    references: References
    """Finds the StepActions that steps refer to."""

    breakpoints: Breakpoints = field(default_factory=Breakpoints)
    """Those asked for from outside, for every TaskRun."""

    result_limit: int = RESULT_LIMIT
    """Bytes that a step's termination message may have; see `engine.pod.results`."""


class Turn(Protocol):
    """A TaskRun's leave to run."""

    taken: Json | None
    """The final status where nothing has to run, as its results are known already."""

    def ended(self, status: Json) -> None:
        """Take note of the final status."""


class AttemptEndedError(Exception):
    """The attempt ended early: why, in a condition's words."""

    def __init__(
        self, reason: str, message: str, *, retry: bool = True, later_steps: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.later_steps = later_steps
        """Whether the steps after it run all the same."""


class StoppedError(Exception):
    """The engine was told to stop; the TaskRun stays unfinished and can be run again."""


def uid(run: str, taskrun: str = "") -> str:
    """A stable unique identifier, the same after the engine was started again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"touchstone:{run}/{taskrun}"))
