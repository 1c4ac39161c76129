"""What an engine tells whoever watches it; frozen, so it may cross threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from touchstone.engine.pod.breakpoints import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened in `run`."""

    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Notice):
    """A sentence an operator should read, such as a field that has no effect here."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(Notice):
    """A TaskRun began; `attempt` counts from 0, above 0 it is a retry."""

    task: str
    taskrun: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Notice):
    """A step's process began; `log` grows while it runs."""

    task: str
    step: str
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWaiting(Notice):
    """A step waits at a breakpoint."""

    waiting: Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished(Notice):
    """A TaskRun ended: `reason` and `message` are those of its Succeeded condition."""

    task: str
    taskrun: str
    succeeded: bool
    reason: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSkipped(Notice):
    """A task will not run; `reason` is Tekton's."""

    task: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Notice):
    """The run ended: `reason` and `message` are those of its Succeeded condition."""

    succeeded: bool
    reason: str
    message: str
