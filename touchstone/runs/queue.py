"""Which waiting runs start now, which wait for what, and which a newer one replaces?

The answer follows from the stored runs and two limits alone, so the platform that starts runs and
the commands that show the queue cannot disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from touchstone.runs.lookup import BRANCH, REPOSITORY, UNQUEUED, annotations_of, model_of
from touchstone.runs.memory import Run

CANCEL_IN_PROGRESS = "touchstone.dev/cancel-in-progress"
"""Annotation: `true`, or the spec.status that older runs of the same branch are given."""

CANCELLATIONS = ("Cancelled", "CancelledRunFinally", "StoppedRunFinally")
"""What Tekton takes as spec.status of a PipelineRun that is to end early."""

PENDING = ("PipelineRunPending", "TaskRunPending")
"""spec.status of a run that is to begin later."""

_NAMED = 3
"""Runs that are named where more have the slots."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go on at once."""

    runs: int
    """Runs on this machine."""

    per_model: int = 1
    """Runs of one model."""


@dataclass(slots=True)
class Queue:
    """The decision for one moment."""

    start: list[str] = field(default_factory=list)
    """Names of the runs to start, in this order."""

    waits: dict[str, str] = field(default_factory=dict)
    """Why each other run waits, in words."""

    cancel: dict[str, str] = field(default_factory=dict)
    """spec.status to give to runs that a newer one replaces, by name."""


def decide(unfinished: Sequence[Run], executing: Collection[str], limits: Limits) -> Queue:
    """What to do with the `unfinished` runs, oldest first, while `executing` are under way."""
    queue = Queue(cancel=_replaced(unfinished))
    under_way = [run for run in unfinished if run.name in executing]
    taken = [run.name for run in under_way if not _unqueued(run)]
    models = defaultdict[str, list[str]](list)
    for run in under_way:
        models[model_of(run.manifest)].append(run.name)
    for run in unfinished:
        if run.name in executing:
            continue
        model = model_of(run.manifest)
        cancelled = _spec_status(run) in CANCELLATIONS or run.name in queue.cancel
        if _unqueued(run):
            queue.start.append(run.name)
        elif _spec_status(run) in PENDING:
            queue.waits[run.name] = f"spec.status is {_spec_status(run)}"
        elif model and len(models[model]) >= limits.per_model and not cancelled:
            queue.waits[run.name] = f"waits for a slot of model {model}: {_before(models[model])}"
        elif len(taken) >= limits.runs and not cancelled:
            queue.waits[run.name] = f"waits for a slot: {_before(taken)}"
        else:
            queue.start.append(run.name)
            if not cancelled:  # one that is only has its end written
                taken.append(run.name)
                models[model].append(run.name)
    return queue


def _before(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"run {names[0]} is before it"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"runs {', '.join(names[:_NAMED])}{more} are before it"


def _replaced(unfinished: Sequence[Run]) -> dict[str, str]:
    found: dict[str, str] = {}
    newest: dict[tuple[str, str], str] = {}
    for run in reversed(unfinished):
        given = annotations_of(run.manifest)
        branch = (given.get(REPOSITORY, ""), given.get(BRANCH, ""))
        if not all(branch):
            continue
        if branch in newest and not _spec_status(run).startswith(("Cancelled", "Stopped")):
            found[run.name] = newest[branch]
        asked = given.get(CANCEL_IN_PROGRESS, "")
        if asked == "true" or asked in CANCELLATIONS:
            newest.setdefault(branch, "Cancelled" if asked == "true" else asked)
    return found


def _unqueued(run: Run) -> bool:
    return annotations_of(run.manifest).get(UNQUEUED) == "true"


def _spec_status(run: Run) -> str:
    return str(run.manifest.get("spec", {}).get("status") or "")
