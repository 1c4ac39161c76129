"""What does a PipelineRun's status document say about its tasks and results?"""

from __future__ import annotations

from collections.abc import Sequence

from touchstone.engine.language.substitute import Key, Scope, Value, references
from touchstone.engine.language.values import as_value
from touchstone.engine.plan.pipeline_run import PlannedPipelineRun
from touchstone.engine.plan.refusals import Refusal
from touchstone.engine.run.facts import WHEN_FALSE, PipelineRunFacts, PipelineTaskState
from touchstone.engine.run.skipping import (
    GRACEFULLY_CANCELLED,
    GRACEFULLY_STOPPED,
    STOPPING,
    TIMEOUTS,
)
from touchstone.engine.run.task_run import BROKE
from touchstone.errors import ManifestError
from touchstone.runs import record
from touchstone.runs.record import Json


def child_references(facts: PipelineRunFacts) -> list[Json]:
    """status.childReferences: one entry for each run of each pipeline task."""
    found = []
    for pipeline_task in facts.tasks.values():
        for name in pipeline_task.runs:
            entry: Json = {
                "apiVersion": "tekton.dev/v1",
                "kind": pipeline_task.kind,
                "name": name,
                "pipelineTaskName": pipeline_task.name,
            }
            if name in pipeline_task.display:
                entry["displayName"] = pipeline_task.display[name]
            if pipeline_task.when:
                entry["whenExpressions"] = _with_states_as_written(pipeline_task)
            found.append(entry)
    return found


def _with_states_as_written(pipeline_task: PipelineTaskState) -> list[Json]:
    """The when expressions of a task that goes: in finally Tekton leaves how tasks ended as text.

    Params and results are replaced in them all the same.
    """
    written = pipeline_task.task.get("when") or []
    return [
        as_written if pipeline_task.final and _asks_for_states(as_written) else replaced
        for as_written, replaced in zip(written, pipeline_task.when, strict=True)
    ]


def _asks_for_states(expression: Json) -> bool:
    return any(
        key[0] == "tasks" and key[-1] in ("status", "reason") for key in references(expression)
    )


def skipped_tasks(facts: PipelineRunFacts) -> list[Json]:
    """status.skippedTasks: every task that will not run, with Tekton's reason."""
    found = []
    for pipeline_task in facts.tasks.values():
        reason = pipeline_task.skipped
        if not reason:
            continue
        if facts.stopping and reason in {GRACEFULLY_CANCELLED, GRACEFULLY_STOPPED}:
            # A cancelled task counts as failed, and failure comes first in Tekton's order.
            reason = STOPPING
        entry: Json = {"name": pipeline_task.name, "reason": reason}
        expressions = pipeline_task.when or pipeline_task.task.get("when")
        if expressions and (not pipeline_task.final or reason == WHEN_FALSE):
            entry["whenExpressions"] = expressions
        found.append(entry)
    return found


def restore(facts: PipelineRunFacts, status: Json, taskruns: dict[str, Json]) -> None:
    """Take over what a killed engine had stored of the run."""
    for entry in status.get("childReferences", []):
        pipeline_task = facts.tasks.get(entry["pipelineTaskName"])
        if pipeline_task is None:
            continue
        pipeline_task.runs[entry["name"]] = taskruns.get(entry["name"], {})
        pipeline_task.when = entry.get("whenExpressions", [])
        if "displayName" in entry:
            pipeline_task.display[entry["name"]] = entry["displayName"]
    for entry in status.get("skippedTasks", []):
        pipeline_task = facts.tasks.get(entry["name"])
        if pipeline_task is None:
            continue
        pipeline_task.skipped = entry["reason"]
        pipeline_task.when = entry.get("whenExpressions", [])
        if pipeline_task.skipped in TIMEOUTS:
            facts.timed_out.add(TIMEOUTS[pipeline_task.skipped])
    for pipeline_task in facts.tasks.values():
        facts.note_end(pipeline_task)


def pipeline_results(
    plan: PlannedPipelineRun, facts: PipelineRunFacts
) -> tuple[list[Json], list[str]]:
    """status.results, and the names of results whose tasks succeeded but did not leave them.

    As in Tekton, whose controller gathers the results of a matrix only for a task that asks for
    them, those that no other task refers to are not there.
    """
    asked = {
        key[1] for one in facts.tasks.values() for key in one.result_references if len(key) > 1
    }
    values: dict[Key, Value] = {}
    for pipeline_task in facts.tasks.values():
        if pipeline_task.matrixed and pipeline_task.name not in asked:
            continue
        section = "finally" if pipeline_task.final else "tasks"
        for result, value in pipeline_task.results().items():
            values[section, pipeline_task.name, "results", result] = value
    known = Scope(values)
    found, invalid = [], []
    for item in plan.spec.get("results", []):
        keys = list(references(item["value"]))
        lacking = [key for key in keys if not _knows(known, key)]
        if not lacking:
            value = known.apply(as_value(item["value"]))
            found.append({"name": item["name"], "value": value})
        elif any(_should_be_there(facts, key) for key in lacking):
            invalid.append(item["name"])
    return found, invalid


def _knows(scope: Scope, key: Key) -> bool:
    try:
        return scope.find(key) is not None
    except ManifestError:
        return False  # an index the array does not have


def _should_be_there(facts: PipelineRunFacts, key: Key) -> bool:
    pipeline_task: PipelineTaskState | None = facts.tasks.get(key[1]) if len(key) > 1 else None
    return pipeline_task is None or pipeline_task.succeeded


def rejected(status: Json, refusal: Refusal) -> Json:
    """The final status of a run that could not begin, because of what its manifests say."""
    status.setdefault("startTime", record.now())
    status["completionTime"] = record.now()
    status["conditions"] = [record.condition("False", refusal.reason, refusal.message)]
    return status


def broken_off(status: Json, why: str) -> Json:
    """The final status of a run that nothing of its own ended: what executed it broke."""
    return {
        **status,
        "startTime": status.get("startTime", record.now()),
        "completionTime": record.now(),
        "conditions": [record.condition("False", BROKE, why)],
    }


def results_missing(run: str, names: Sequence[str]) -> Json:
    """The condition of a run whose results cannot be put together."""
    return record.condition(
        "False",
        "CouldntGetPipelineResult",
        f"Failed to get PipelineResult from TaskRun Results for PipelineRun {run}: invalid"
        f" pipelineresults [{' '.join(names)}], the referenced results don't exist",
    )
