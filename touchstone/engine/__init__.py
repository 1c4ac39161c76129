"""Tekton's semantics as local processes."""

from touchstone.engine.pod.notices import (
    Message,
    Notice,
    RunFinished,
    StepStarted,
    StepWaiting,
    TaskFinished,
    TaskSkipped,
    TaskStarted,
)
from touchstone.engine.run.execute import Engine

__all__ = [
    "Engine",
    "Message",
    "Notice",
    "RunFinished",
    "StepStarted",
    "StepWaiting",
    "TaskFinished",
    "TaskSkipped",
    "TaskStarted",
]
