"""All there is to say of one run: its stages with times, reasons, retries, results, last lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.runs import record
from touchstone.runs.logs import logs_of, stages
from touchstone.runs.store import Run, State

RERUN_OF = "touchstone.dev/rerun-of"
"""Annotation of a run that repeats another, and of a TaskRun taken over from one: its name."""

CACHED_FROM = "touchstone.dev/cached-from"
"""Annotation of a TaskRun whose results came from the cache: RUN/TASKRUN that made them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDetail:
    """One TaskRun, or a pipeline task that was skipped."""

    name: str
    taskrun: str
    """Empty where it was skipped."""

    status: str
    """True, False or Unknown as its Succeeded condition says; Skipped."""

    reason: str
    """Tekton's."""

    message: str
    seconds: float | None
    results: Mapping[str, Any] = field(default_factory=dict)
    retries: tuple[str, ...] = ()
    """Reason and message of each attempt before the last."""

    taken_from: str = ""
    """The run whose finished TaskRun this is; empty where it ran here."""

    cached_from: str = ""
    """RUN/TASKRUN whose results these are; empty where it did not come from the cache."""

    failed_step: str = ""
    last_lines: tuple[str, ...] = ()
    """What the failed step printed last."""


def details(state: State, run: Run, logs: Path, *, lines: int) -> list[StageDetail]:
    """The stages of `run` in order of creation, then the skipped ones."""
    manifests = state.taskrun_manifests(run.name)
    statuses = state.taskruns(run.name)
    found = [
        _stage(task, name, manifests[name], statuses[name], logs / run.name / name, lines)
        for name, task in stages(state, run).items()
    ]
    for item in run.status.get("skippedTasks", []):
        found.append(
            StageDetail(
                name=item["name"],
                taskrun="",
                status="Skipped",
                reason=item["reason"],
                message=_expressions(item.get("whenExpressions", [])),
                seconds=None,
            )
        )
    return found


def _stage(
    task: str,
    name: str,
    manifest: Mapping[str, Any],
    status: Mapping[str, Any],
    logs: Path,
    lines: int,
) -> StageDetail:
    condition = record.succeeded_condition(status)
    annotations = manifest["metadata"].get("annotations", {})
    failed = _failed_step(status) if condition["status"] == "False" else ""
    return StageDetail(
        name=task,
        taskrun=name,
        status=condition["status"],
        reason=condition["reason"],
        message=condition["message"],
        seconds=record.seconds(status),
        results=record.results(status),
        retries=tuple(
            f"{past['reason']}: {past['message']}"
            for past in map(record.succeeded_condition, status.get("retriesStatus", []))
        ),
        taken_from=annotations.get(RERUN_OF, ""),
        cached_from=annotations.get(CACHED_FROM, ""),
        failed_step=failed,
        last_lines=_last_lines(logs, failed, status, lines)
        if condition["status"] == "False"
        else (),
    )


def _failed_step(status: Mapping[str, Any]) -> str:
    """The step that ended the TaskRun: the first that failed and was not let pass."""
    for step in status.get("steps", []):
        bad = step.get("terminated", {}).get("exitCode", 0) != 0
        if bad and step.get("terminationReason") not in ("Continued", "Skipped"):
            return str(step["name"])
    return ""


def _last_lines(folder: Path, step: str, status: Mapping[str, Any], count: int) -> tuple[str, ...]:
    files = [folder / f"{step}.log"] if step else logs_of(folder, status)[-1:]
    try:
        with files[0].open(encoding="utf-8", errors="replace") as stream:
            return tuple(line.rstrip("\n") for line in deque(stream, maxlen=count))
    except (IndexError, FileNotFoundError):
        return ()


def _expressions(expressions: list[Mapping[str, Any]]) -> str:
    told = []
    for item in expressions:
        if "cel" in item:
            told.append(str(item["cel"]))
        else:
            told.append(f"{item.get('input')!r} {item.get('operator')} {item.get('values')}")
    return ", ".join(told)
