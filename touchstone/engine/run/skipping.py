"""Why will a pipeline task not run? Tekton's ten reasons, in Tekton's order of precedence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from touchstone.engine.language.matrix import has_empty_array
from touchstone.engine.language.substitute import Key, Scope
from touchstone.engine.language.when import evaluate
from touchstone.engine.run.facts import WHEN_FALSE, PipelineRunFacts, PipelineTaskState

PARENT_SKIPPED = "Parent Tasks were skipped"
STOPPING = "PipelineRun was stopping"
GRACEFULLY_CANCELLED = "PipelineRun was gracefully cancelled"
GRACEFULLY_STOPPED = "PipelineRun was gracefully stopped"
RESULTS_MISSING = "Results were missing"
PIPELINE_TIMEOUT = "PipelineRun timeout has been reached"
TASKS_TIMEOUT = "PipelineRun Tasks timeout has been reached"
FINALLY_TIMEOUT = "PipelineRun Finally timeout has been reached"
EMPTY_MATRIX = "Matrix Parameters have an empty array"

TIMEOUTS = {PIPELINE_TIMEOUT: "pipeline", TASKS_TIMEOUT: "tasks", FINALLY_TIMEOUT: "finally"}
GRACEFUL = {
    "CancelledRunFinally": GRACEFULLY_CANCELLED,
    "StoppedRunFinally": GRACEFULLY_STOPPED,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """time.monotonic() values after which nothing starts; None where there is no limit."""

    pipeline: float | None = None
    section: float | None = None


def missing_results(pipeline_task: PipelineTaskState, facts: PipelineRunFacts) -> list[Key]:
    """References to results that nobody left."""
    return [key for key in pipeline_task.result_references if key[:4] not in facts.results]


def skip_reason(
    pipeline_task: PipelineTaskState,
    facts: PipelineRunFacts,
    scope: Callable[[], Scope],
    limits: Limits,
) -> str:
    """Why a task outside finally will not run; empty where it may, now or later.

    `scope` tells what its when expressions may refer to; it is asked at most once, when all
    parents have settled. Raises CelEvaluationError.
    """
    if facts.stopping:
        return STOPPING
    if facts.spec_status in GRACEFUL:
        return GRACEFUL[facts.spec_status]
    parents = [facts.tasks[name] for name in pipeline_task.parents]
    ready = all(parent.settled for parent in parents)
    known = scope() if ready else Scope()
    if ready and not _holds(pipeline_task, known):
        return WHEN_FALSE
    if any(parent.skipped not in {"", WHEN_FALSE} for parent in parents):
        return PARENT_SKIPPED
    if not ready:
        return ""
    missing = missing_results(pipeline_task, facts)
    if missing and (
        pipeline_task.task.get("onError") == "continue"
        or facts.tasks[missing[0][1]].skipped == WHEN_FALSE
    ):
        return RESULTS_MISSING
    return _too_late(limits, TASKS_TIMEOUT) or _empty(pipeline_task, known)


def final_skip_reason(
    pipeline_task: PipelineTaskState, facts: PipelineRunFacts, scope: Scope, limits: Limits
) -> str:
    """Why a task of finally will not run; empty where it will. Raises CelEvaluationError."""
    if missing_results(pipeline_task, facts):
        return RESULTS_MISSING
    if not _holds(pipeline_task, scope):
        return WHEN_FALSE
    return _too_late(limits, FINALLY_TIMEOUT) or _empty(pipeline_task, scope)


def _holds(pipeline_task: PipelineTaskState, scope: Scope) -> bool:
    expressions = pipeline_task.task.get("when")
    if not expressions:
        return True
    holds, pipeline_task.when = evaluate(expressions, scope)
    return holds


def _too_late(limits: Limits, of_section: str) -> str:
    now = time.monotonic()
    if limits.pipeline is not None and now >= limits.pipeline:
        return PIPELINE_TIMEOUT
    if limits.section is not None and now >= limits.section:
        return of_section
    return ""


def _empty(pipeline_task: PipelineTaskState, scope: Scope) -> str:
    matrix = pipeline_task.task.get("matrix")
    return EMPTY_MATRIX if matrix and has_empty_array(matrix, scope) else ""
