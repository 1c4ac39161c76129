"""How a run stands, for people: its stages with their state, duration and last log line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.runs import record
from touchstone.runs.store import Run, State

REFUSED = 5
"""The exit code of a step that refused the model; see touchstone.errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One TaskRun of a run."""

    name: str
    state: str
    """running, succeeded, refused, failed, or skipped."""

    seconds: float
    detail: str
    """The last line it printed; of a skipped stage, why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A run at one moment."""

    run: str
    done: bool
    reason: str
    message: str
    stages: tuple[Stage, ...]

    @property
    def exit_code(self) -> int:
        """0 succeeded, 5 a gate refused the model, 1 anything else that ended."""
        if self.reason in ("Succeeded", "Completed"):
            return 0
        return REFUSED if any(stage.state == "refused" for stage in self.stages) else 1


def view(state: State, run: Run, logs: Path) -> View:
    """The run as its status documents and logs tell it now. `logs` is the platform's folder."""
    condition = record.succeeded_condition(run.status)
    names = {
        child["name"]: child.get("pipelineTaskName", child["name"])
        for child in run.status.get("childReferences", [])
    }
    stages = [
        _stage(names.get(name, name), status, logs / run.name / name)
        for name, status in state.taskruns(run.name).items()
    ]
    stages += [
        Stage(name=skipped["name"], state="skipped", seconds=0.0, detail=skipped["reason"])
        for skipped in run.status.get("skippedTasks", [])
    ]
    return View(
        run=run.name,
        done=run.done,
        reason=condition["reason"],
        message=condition["message"],
        stages=tuple(stages),
    )


def _stage(name: str, status: Mapping[str, Any], logs: Path) -> Stage:
    codes = [step.get("terminated", {}).get("exitCode", 0) for step in status.get("steps", [])]
    return Stage(
        name=name,
        state=_state(status, codes),
        seconds=record.seconds(status, until=time.time()) or 0.0,
        detail=last_line(logs),
    )


def _state(status: Mapping[str, Any], codes: list[int]) -> str:
    match record.succeeded_condition(status)["status"]:
        case "True":
            return "succeeded"
        case "False":
            return "refused" if REFUSED in codes else "failed"
        case _:
            return "running"


def last_line(folder: Path, size: int = 4096) -> str:
    """The last line that is not blank of the newest log in `folder`; reads at most `size` bytes."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for log in logs:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - size))
            lines = stream.read().decode("utf-8", "replace").split("\n")
        for line in reversed(lines):
            if line.strip():
                return line.strip()
    return ""
