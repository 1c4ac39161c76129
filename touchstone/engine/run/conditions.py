"""How does a PipelineRun's condition read, given how its tasks fare?"""

from __future__ import annotations

from dataclasses import dataclass

from touchstone.engine.language import durations
from touchstone.engine.run.facts import PipelineRunFacts
from touchstone.engine.run.skipping import GRACEFUL, TIMEOUTS
from touchstone.runs import record
from touchstone.runs.record import Json

_ERRORS_SHOWN = 1024
"""Characters of what failed validation that the message holds, as in Tekton."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many pipeline tasks ended in which way."""

    succeeded: int = 0
    failed: int = 0
    ignored: int = 0
    cancelled: int = 0
    invalid: int = 0
    skipped: int = 0
    incomplete: int = 0

    @property
    def completed(self) -> int:
        return self.succeeded + self.failed + self.ignored + self.cancelled


def count(facts: PipelineRunFacts) -> Counts:
    """The pipeline tasks counted as Tekton counts them."""
    found = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for pipeline_task in facts.tasks.values():
        if pipeline_task.succeeded:
            way = "succeeded"
        elif pipeline_task.cancelled_for_timeout:
            way = "failed"
        elif pipeline_task.cancelled:
            way = "cancelled"
        elif pipeline_task.failed:
            way = "ignored" if pipeline_task.task.get("onError") == "continue" else "failed"
        elif pipeline_task.invalid:
            way = "invalid"
        else:
            way = "skipped" if pipeline_task.skipped else "incomplete"
        found[way] += 1
    return Counts(**found)


def condition(facts: PipelineRunFacts, *, run: str, limit: float, tasks_limit: float) -> Json:
    """The Succeeded condition; `limit` and `tasks_limit` are the time limits in seconds."""
    finals_done = all(pipeline_task.settled for pipeline_task in facts.section(final=True))
    if "pipeline" in facts.timed_out:
        text = f'PipelineRun "{run}" failed to finish within "{durations.go_text(limit)}"'
        return record.condition("False", "PipelineRunTimeout", text)
    counts = count(facts)
    if "tasks" in facts.timed_out and finals_done:
        within = durations.go_text(tasks_limit)
        text = f'PipelineRun "{run}" failed due to tasks failed to finish within "{within}"'
        return record.condition("False", "PipelineRunTimeout", text)
    if counts.incomplete:
        return _unfinished(facts, counts, finals_done=finals_done)
    return _finished(facts, counts, run)


def _unfinished(facts: PipelineRunFacts, counts: Counts, *, finals_done: bool) -> Json:
    reason = "Running"
    if "tasks" in facts.timed_out:
        reason = "PipelineRunTimeoutRunningFinally"
    elif facts.spec_status == "CancelledRunFinally":
        reason = "CancelledRunningFinally"
    elif facts.spec_status == "StoppedRunFinally":
        reason = "StoppedRunningFinally"
    elif counts.cancelled or (counts.failed and finals_done):
        reason = "PipelineRunStopping"
    text = (
        f"Tasks Completed: {counts.completed} (Failed: {counts.failed}, Cancelled"
        f" {counts.cancelled}), Incomplete: {counts.incomplete}, Skipped: {counts.skipped}"
    )
    return record.condition("Unknown", reason, text)


def _finished(facts: PipelineRunFacts, counts: Counts, run: str) -> Json:
    failures = f"Failed: {counts.failed + counts.ignored}"
    if counts.ignored:
        failures += f" (Ignored: {counts.ignored})"
    text = (
        f"Tasks Completed: {counts.completed} ({failures}, Cancelled {counts.cancelled}),"
        f" Skipped: {counts.skipped}"
    )
    if counts.invalid:
        errors = "; ".join(item.invalid for _, item in sorted(facts.tasks.items()) if item.invalid)
        if len(errors) > _ERRORS_SHOWN:
            errors = errors[:_ERRORS_SHOWN] + "..."
        text += f", Failed Validation: {counts.invalid} ({errors})"
        return record.condition("False", "PipelineValidationFailed", text)
    if counts.failed or any(item.skipped in TIMEOUTS for item in facts.tasks.values()):
        return record.condition("False", "Failed", text)
    if facts.spec_status in GRACEFUL:
        return record.condition("False", "Cancelled", f'PipelineRun "{run}" was cancelled')
    if counts.cancelled:
        return record.condition("False", "Cancelled", text)
    return record.condition("True", "Completed" if counts.skipped else "Succeeded", text)
