"""How a run stands, for people: its stages with their state, duration and last log line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.runs import record, said
from touchstone.runs.memory import Memory, Run
from trust_gates.visible import one_line

REFUSED = 5
"""The exit code of a step that refused the model; see touchstone.errors."""

_OF_A_STEP = ("Failed", "StepFailed")
"""Reasons that say no more than that a step failed."""

_GOES_ON = ("Pending", "Started", "Running")
"""Reasons of a stage that runs that say no more than that; else they say what it waits for."""

_LAST_LINES = 5
"""Of a stage that failed without saying `error: …`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One TaskRun of a run."""

    name: str
    state: str
    """running, succeeded, refused, failed, or skipped."""

    seconds: float
    detail: str
    """The last line it printed; of a failed stage what its error begins with, of a skipped one
    why."""

    progress: str = ""
    """The same, where it is how far a stage is that runs."""

    error: tuple[str, ...] = ()
    """Of a failed stage: every line of its error, then its hint; else its last lines."""

    outcome: str = ""
    """Of a gate: passed, failed or insufficient evidence."""

    cached_from: str = ""
    """The run whose results these are; empty where they did not come from the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A run at one moment."""

    run: str
    done: bool
    reason: str
    message: str
    stages: tuple[Stage, ...]
    planned: int
    """How many stages there will be, those of a matrix counted once."""

    @property
    def ended(self) -> int:
        """How many stages have ended, or were skipped."""
        return sum(stage.state != "running" for stage in self.stages)

    @property
    def exit_code(self) -> int:
        """0 succeeded, 5 a gate refused the model, 1 anything else that ended."""
        if self.reason in ("Succeeded", "Completed"):
            return 0
        return REFUSED if any(stage.state == "refused" for stage in self.stages) else 1


def view(state: Memory, run: Run, logs: Path) -> View:
    """The run as its status documents and logs tell it now. `logs` is the platform's folder."""
    condition = record.succeeded_condition(run.status)
    names = record.tasks_of(run.status)
    stages = [
        _stage(names.get(name, name), status, logs, f"{run.name}/{name}")
        for name, status in state.taskruns(run.name).items()
    ]
    stages += [
        Stage(name=skipped["name"], state="skipped", seconds=0.0, detail=skipped["reason"])
        for skipped in run.status.get("skippedTasks", [])
    ]
    spec = run.status.get("pipelineSpec") or {}
    return View(
        run=run.name,
        done=run.done,
        reason=condition["reason"],
        message=condition["message"],
        stages=tuple(stages),
        planned=max(len(stages), len(spec.get("tasks", [])) + len(spec.get("finally", []))),
    )


def _stage(name: str, status: Mapping[str, Any], logs: Path, own: str) -> Stage:
    state, condition = _state(status), record.succeeded_condition(status)
    source = record.cached_from(status)
    # What a stage from the cache would have said stands in the log of the one that ran.
    folder = logs / (source or own)
    detail, error = said.last_line(folder), []
    if state in ("failed", "refused"):
        error = _why(folder, status)
        detail = error[0] if error else detail
    elif state == "running" and not detail and condition["reason"] not in _GOES_ON:
        detail = one_line(f"{condition['reason']}: {condition['message']}")
    return Stage(
        name=name,
        state=state,
        seconds=record.seconds(status, until=time.time()) or 0.0,
        detail=detail,
        progress=said.progress_of(detail) if state == "running" else "",
        error=tuple(error),
        outcome=said.outcome_of(status),
        cached_from=source.partition("/")[0],
    )


def _why(folder: Path, status: Mapping[str, Any]) -> list[str]:
    """What the step that failed said last; first what Tekton says, where no step failed."""
    condition = record.succeeded_condition(status)
    found = said.last_error(folder, status)
    found = found or [*filter(str.strip, said.last_lines(folder, status, _LAST_LINES))]
    if found and record.failed_step(status) and condition["reason"] in _OF_A_STEP:
        return found
    return [one_line(f"{condition['reason']}: {condition['message']}"), *found]


def refused(status: Mapping[str, Any]) -> bool:
    """Whether a TaskRun failed as one of its steps refused the model."""
    codes = [step.get("terminated", {}).get("exitCode", 0) for step in status.get("steps", [])]
    return record.succeeded_condition(status)["status"] == "False" and REFUSED in codes


def _state(status: Mapping[str, Any]) -> str:
    match record.succeeded_condition(status)["status"]:
        case "True":
            return "succeeded"
        case "False":
            return "refused" if refused(status) else "failed"
        case _:
            return "running"
