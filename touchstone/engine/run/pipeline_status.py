"""What does a PipelineRun's status document say about its tasks and results?"""

from __future__ import annotations

from collections.abc import Sequence

from touchstone.engine.language.substitute import Key, Scope, Value, references
from touchstone.engine.language.values import as_value
from touchstone.engine.plan.pipeline_run import Plan
from touchstone.engine.plan.refusals import Refusal
from touchstone.engine.run.facts import WHEN_FALSE, Facts, Standing
from touchstone.engine.run.skipping import (
    GRACEFULLY_CANCELLED,
    GRACEFULLY_STOPPED,
    STOPPING,
    TIMEOUTS,
)
from touchstone.errors import ManifestError
from touchstone.runs import record
from touchstone.runs.record import Json


def child_references(facts: Facts) -> list[Json]:
    """status.childReferences: one entry for each run of each pipeline task."""
    found = []
    for standing in facts.tasks.values():
        for name in standing.runs:
            entry: Json = {
                "apiVersion": "tekton.dev/v1",
                "kind": standing.kind,
                "name": name,
                "pipelineTaskName": standing.name,
            }
            if name in standing.display:
                entry["displayName"] = standing.display[name]
            if standing.when:
                entry["whenExpressions"] = standing.when
            found.append(entry)
    return found


def skipped_tasks(facts: Facts) -> list[Json]:
    """status.skippedTasks: every task that will not run, with Tekton's reason."""
    found = []
    for standing in facts.tasks.values():
        reason = standing.skipped
        if not reason:
            continue
        if facts.stopping and reason in {GRACEFULLY_CANCELLED, GRACEFULLY_STOPPED}:
            # A cancelled task counts as failed, and failure comes first in Tekton's order.
            reason = STOPPING
        entry: Json = {"name": standing.name, "reason": reason}
        expressions = standing.when or standing.task.get("when")
        if expressions and (not standing.final or reason == WHEN_FALSE):
            entry["whenExpressions"] = expressions
        found.append(entry)
    return found


def restore(facts: Facts, status: Json, taskruns: dict[str, Json]) -> None:
    """Take over what a killed engine had stored of the run."""
    for entry in status.get("childReferences", []):
        standing = facts.tasks.get(entry["pipelineTaskName"])
        if standing is None:
            continue
        standing.runs[entry["name"]] = taskruns.get(entry["name"], {})
        standing.when = entry.get("whenExpressions", [])
        if "displayName" in entry:
            standing.display[entry["name"]] = entry["displayName"]
    for entry in status.get("skippedTasks", []):
        standing = facts.tasks.get(entry["name"])
        if standing is None:
            continue
        standing.skipped = entry["reason"]
        standing.when = entry.get("whenExpressions", [])
        if standing.skipped in TIMEOUTS:
            facts.timed_out.add(TIMEOUTS[standing.skipped])
    for standing in facts.tasks.values():
        facts.note_end(standing)


def pipeline_results(plan: Plan, facts: Facts, scope: Scope) -> tuple[list[Json], list[str]]:
    """status.results, and the names of results whose tasks succeeded but did not leave them."""
    values: dict[Key, Value] = {}
    for standing in facts.tasks.values():
        section = "finally" if standing.final else "tasks"
        for result, value in standing.results().items():
            values[section, standing.name, "results", result] = value
    known = scope | Scope(values)
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


def _should_be_there(facts: Facts, key: Key) -> bool:
    standing: Standing | None = facts.tasks.get(key[1]) if len(key) > 1 else None
    return standing is None or standing.succeeded


def rejected(status: Json, refusal: Refusal) -> Json:
    """The final status of a run that could not begin, because of what its manifests say."""
    status.setdefault("startTime", record.now())
    status["completionTime"] = record.now()
    status["conditions"] = [record.condition("False", refusal.reason, refusal.message)]
    return status


def results_missing(run: str, names: Sequence[str]) -> Json:
    """The condition of a run whose results cannot be put together."""
    return record.condition(
        "False",
        "CouldntGetPipelineResult",
        f"Failed to get PipelineResult from TaskRun Results for PipelineRun {run}: invalid"
        f" pipelineresults [{' '.join(names)}], the referenced results don't exist",
    )
