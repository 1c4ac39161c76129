"""Tekton's semantics as local processes."""

from touchstone.engine.execute import Engine
from touchstone.engine.notices import (
    Message,
    Notice,
    RunFinished,
    StepStarted,
    StepWaiting,
    TaskFinished,
    TaskSkipped,
    TaskStarted,
)

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
