"""How does each pipeline task of a run fare, and so the run itself?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.engine.language import graph
from touchstone.engine.language.substitute import Key, Value
from touchstone.runs import record
from touchstone.runs.record import Json

CANCELLED = "TaskRun cancelled as the PipelineRun it belongs to has been cancelled."
TIMED_OUT = "TaskRun cancelled as the PipelineRun it belongs to has timed out."
"""Why a TaskRun was cancelled, in the words Tekton puts into its spec.statusMessage."""

WHEN_FALSE = "When Expressions evaluated to false"


@dataclass
class PipelineTaskState:
    """One pipeline task and the runs made for it: one, several for a matrix, none if skipped."""

    task: Mapping[str, Any]
    final: bool
    runs: dict[str, Json] = field(default_factory=dict)
    """Statuses by the run's name; empty until the task is scheduled."""

    display: dict[str, str] = field(default_factory=dict)
    """displayName of each run that has one."""

    skipped: str = ""
    """Tekton's reason why it will not run."""

    invalid: str = ""
    """Why no run could be made for it: a result it needs was not left."""

    when: list[Json] = field(default_factory=list)
    """The when expressions with their references replaced, once they were evaluated."""

    _end: str = ""
    """succeeded or failed, once it is known: a run that ended stays as it is."""

    def __post_init__(self) -> None:
        self.parents = set() if self.final else graph.parents(self.task)
        self.result_references = graph.result_references(self.task)

    @property
    def name(self) -> str:
        return str(self.task["name"])

    @property
    def matrixed(self) -> bool:
        return "matrix" in self.task

    @property
    def kind(self) -> str:
        nested = "pipelineRef" in self.task or "pipelineSpec" in self.task
        return "PipelineRun" if nested else "TaskRun"

    @property
    def scheduled(self) -> bool:
        return bool(self.runs)

    @property
    def done(self) -> bool:
        if not self._end and self.runs and all(map(record.finished, self.runs.values())):
            self._end = "succeeded" if all(map(record.succeeded, self.runs.values())) else "failed"
        return bool(self._end)

    @property
    def settled(self) -> bool:
        return bool(self.skipped or self.invalid) or self.done

    @property
    def succeeded(self) -> bool:
        return self.done and self._end == "succeeded"

    @property
    def failed(self) -> bool:
        """Ended badly; cancelled counts as well."""
        return self.done and self._end == "failed"

    @property
    def cancelled(self) -> bool:
        return self.failed and any(
            record.succeeded_condition(status)["reason"] == "TaskRunCancelled"
            for status in self.runs.values()
        )

    @property
    def cancelled_for_timeout(self) -> bool:
        return self.cancelled and any(
            TIMED_OUT in record.succeeded_condition(status)["message"]
            for status in self.runs.values()
        )

    @property
    def state(self) -> str:
        """What $(tasks.NAME.status) says."""
        if self.succeeded:
            return "Succeeded"
        broken = any(
            record.succeeded_condition(status)["status"] == "False" for status in self.runs.values()
        )
        return "Failed" if broken else "None"

    @property
    def condition(self) -> Json:
        """The condition of the first run that did not succeed, else of the first one."""
        conditions = [record.succeeded_condition(status) for status in self.runs.values()]
        for condition in conditions:
            if condition["status"] != "True":
                return condition
        return conditions[0] if conditions else {"reason": "", "message": ""}

    def results(self) -> dict[str, Value]:
        """Its results by name; those of a matrix as arrays, in the order of the runs' names."""
        if not self.done or self.kind == "PipelineRun":
            return {}
        if not self.matrixed:
            return record.results(next(iter(self.runs.values())))
        gathered: dict[str, Value] = {}
        for _, status in sorted(self.runs.items()):
            for name, value in record.results(status).items():
                found = gathered.setdefault(name, [])
                if isinstance(found, list):
                    # As in Tekton, an array or object of one run has no place in the array.
                    found.append(value if isinstance(value, str) else "")
        return gathered

    def emitted(self, result: str) -> list[Value]:
        """What its runs have left so far as the result of that name."""
        left = [record.results(status) for _, status in sorted(self.runs.items())]
        return [found[result] for found in left if result in found]


@dataclass
class PipelineRunFacts:
    """Everything the schedule of a run depends on."""

    tasks: dict[str, PipelineTaskState]
    """By name, those of `finally` last."""

    spec_status: str = ""
    """spec.status of the run: Cancelled, CancelledRunFinally, StoppedRunFinally or empty."""

    timed_out: set[str] = field(default_factory=set)
    """Which limits cut something short: pipeline, tasks, finally."""

    results: dict[Key, Value] = field(default_factory=dict)
    """Results of the tasks that ended, as ("tasks", NAME, "results", RESULT)."""

    def section(self, *, final: bool) -> Iterator[PipelineTaskState]:
        """The pipeline tasks of `tasks`, or of `finally`."""
        return (
            pipeline_task for pipeline_task in self.tasks.values() if pipeline_task.final == final
        )

    @property
    def stopping(self) -> bool:
        """Whether a failed task keeps the others from starting."""
        return any(
            (pipeline_task.failed or pipeline_task.invalid)
            and pipeline_task.task.get("onError") != "continue"
            for pipeline_task in self.section(final=False)
        )

    def aggregate(self) -> str:
        """What $(tasks.status) says."""
        tasks = list(self.section(final=False))
        if not all(pipeline_task.settled for pipeline_task in tasks):
            return "None"
        if any(pipeline_task.failed for pipeline_task in tasks):
            return "Failed"
        return "Completed" if any(pipeline_task.skipped for pipeline_task in tasks) else "Succeeded"

    def note_end(self, pipeline_task: PipelineTaskState) -> None:
        """Make the results of a task that ended known to the others."""
        for result, value in pipeline_task.results().items():
            self.results["tasks", pipeline_task.name, "results", result] = value
