"""All there is to say of one run: its stages with times, reasons, retries, results, last lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.runs import record, said
from touchstone.runs.logs import stages
from touchstone.runs.memory import Memory, Run

CACHED_FROM = "touchstone.dev/cached-from"
"""Annotation of a TaskRun whose results came from the cache: RUN/TASKRUN that made them."""

RERUN_OF = "touchstone.dev/rerun-of"
"""Annotation of a run that repeats another, and of a TaskRun taken over from one: its name."""


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
    error: tuple[str, ...] = ()
    """Every line of the error that the failed step ended with, then its hint."""

    last_lines: tuple[str, ...] = ()
    """What the failed step printed last."""

    progress: str = ""
    """How far a stage that runs is, as it says."""

    outcome: str = ""
    """What a gate found: passed, failed or insufficient evidence; empty of other stages."""

    decided: str = ""
    """The check of a gate that decided, in words."""


def details(state: Memory, run: Run, logs: Path, *, lines: int) -> list[StageDetail]:
    """The stages of `run` in order of creation, then the skipped ones."""
    manifests = state.taskrun_manifests(run.name)
    statuses = state.taskruns(run.name)
    found = [
        _stage(task, name, manifests[name], statuses[name], logs, f"{run.name}/{name}", lines)
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
    folder: Path,
    own: str,
    lines: int,
) -> StageDetail:
    condition = record.succeeded_condition(status)
    annotations = manifest["metadata"].get("annotations", {})
    failed = condition["status"] == "False"
    logs, outcome = folder / own, said.outcome_of(status)
    cached_from = record.cached_from(status)
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
        cached_from=cached_from,
        failed_step=record.failed_step(status) if failed else "",
        error=tuple(said.last_error(logs, status)) if failed else (),
        last_lines=tuple(said.last_lines(logs, status, lines)) if failed else (),
        progress=said.progress_of(said.last_line(logs)) if not record.finished(status) else "",
        outcome=outcome,
        decided=said.last_line(folder / (cached_from or own)) if outcome else "",
    )


def _expressions(expressions: list[Mapping[str, Any]]) -> str:
    told = []
    for item in expressions:
        if "cel" in item:
            told.append(str(item["cel"]))
        else:
            told.append(f"{item.get('input')!r} {item.get('operator')} {item.get('values')}")
    return ", ".join(told)
