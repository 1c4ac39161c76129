"""One PipelineRun: which task starts when, and how the run comes to its end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace

from touchstone.engine.language import durations
from touchstone.engine.language.substitute import Key
from touchstone.engine.language.when import CelEvaluationError
from touchstone.engine.plan.pipeline_run import PlannedPipelineRun, RunFailedError, values_of
from touchstone.engine.plan.refusals import USER, refusal_of_pipeline_run
from touchstone.engine.pod.notices import TaskSkipped
from touchstone.engine.pod.process import Halt
from touchstone.engine.run import conditions, pipeline_status, task_run
from touchstone.engine.run.children import ChildRuns, failed_before_start
from touchstone.engine.run.facts import CANCELLED, TIMED_OUT, PipelineRunFacts, PipelineTaskState
from touchstone.engine.run.skipping import (
    TIMEOUTS,
    Limits,
    final_skip_reason,
    missing_results,
    skip_reason,
)
from touchstone.engine.run.task_run import PlannedTaskRun, StoppedError, Surroundings
from touchstone.errors import ManifestError
from touchstone.runs import record
from touchstone.runs.record import Json

TICK = 0.25
"""Seconds between two looks at whether the run was told to end."""


_PAUSE = 0.1
"""Seconds between two writes of a status in which only ends are new: a run that goes on after a
kill reads those from the TaskRuns."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a PipelineRun shares with the runs around and inside it."""

    around: Surroundings
    pool: Executor
    """Runs TaskRuns, as many at a time as the engine may."""

    save: Callable[[Json, bool], None]
    """Store the run's status; the second argument tells whether it is done."""

    stored: Callable[[], Mapping[str, Json]]
    """Statuses of the TaskRuns and child PipelineRuns stored so far, by name."""

    spec_status: Callable[[], str]
    """What spec.status of the stored run says at this moment."""

    above: Halt | None = None
    """What halts the pipeline task that this run is made for, if it is inside another."""


@dataclass
class _Section:
    """The tasks outside finally, or those of it, with their own limit and way to be halted."""

    final: bool
    halt: Halt
    limit: float
    """Seconds; 0 where there is none."""

    deadline: float | None = None


class PipelineExecution:
    """Runs a plan to its end, going on from stored statuses where there are some."""

    def __init__(self, plan: PlannedPipelineRun, *, status: Json, setting: Setting) -> None:
        self._plan, self._setting = plan, setting
        self._status: Json = dict(status)
        self._status.setdefault("startTime", record.now())
        self._status["pipelineSpec"] = dict(plan.spec)
        if plan.source:
            self._status["provenance"] = {"refSource": plan.source}
        sections = (("tasks", False), ("finally", True))
        self._facts = PipelineRunFacts(
            {
                task["name"]: PipelineTaskState(task, final)
                for section, final in sections
                for task in plan.spec.get(section, [])
            }
        )
        pipeline_status.restore(self._facts, status, dict(setting.stored()))
        self._ended: queue.SimpleQueue[tuple[str, str, Future[Json]]] = queue.SimpleQueue()
        self._running: set[str] = set()
        self._changed, self._skipped, self._saved = False, False, 0.0
        self._futures: list[Future[Json]] = []
        self._limits()

    def _limits(self) -> None:
        limit = {name: durations.seconds(text) for name, text in self._plan.timeouts.items()}
        self._limit = limit.get("pipeline", task_run.DEFAULT_TIMEOUT)
        tasks, last = limit.get("tasks", 0.0), limit.get("finally", 0.0)
        if limit.get("pipeline"):
            tasks = tasks or (self._limit - last if last and "tasks" not in limit else 0.0)
            last = last or (self._limit - tasks if tasks and "finally" not in limit else 0.0)
        self._deadline = time.monotonic() + self._limit if self._limit else None
        self._tasks = _Section(final=False, halt=Halt(), limit=tasks)
        self._finally = _Section(final=True, halt=Halt(), limit=last)

    @property
    def halts(self) -> tuple[Halt, Halt]:
        """What to set for the run to stop."""
        return self._tasks.halt, self._finally.halt

    def run(self) -> Json:
        """Run to the end; the final status.

        Raises StoppedError when told to stop, ManifestError for params or workspaces that do not
        fit the Pipeline.
        """
        self._values = values_of(self._plan)
        self._children = ChildRuns(self._plan, self._values, self._facts)
        failure: RunFailedError | None = None
        try:
            self._save()
            self._run_section(self._tasks)
            self._run_section(self._finally)
        except RunFailedError as error:
            failure = error
            self._halt(CANCELLED)
            self._drain()
        finally:
            self._halt("stop")
            wait(self._futures)
        return self._finish(failure)

    def _halt(self, cause: str) -> None:
        for halt in self.halts:
            halt.set(cause)

    def _take_up(self, section: _Section) -> None:
        """Start again what had been started before the engine was killed.

        Those of finally only when the tasks are over: what they refer to is known then.
        """
        for pipeline_task in self._facts.section(final=section.final):
            if pipeline_task.scheduled and not pipeline_task.done:
                for planned in self._schedule(pipeline_task):
                    if not record.finished(pipeline_task.runs[_name(planned)]):
                        self._submit(pipeline_task, planned, section)

    # Scheduling

    def _run_section(self, section: _Section) -> None:
        if section.limit:
            section.deadline = time.monotonic() + section.limit
        self._take_up(section)
        while True:
            self._note_spec_status()
            if self._facts.spec_status != "Cancelled":
                self._start_ready(section)
            if not self._running:
                return
            self._wait(section)

    def _start_ready(self, section: _Section) -> None:
        ready = self._settle(section)
        starting = [(pipeline_task, self._schedule(pipeline_task)) for pipeline_task in ready]
        if section.final and starting:
            self._status.setdefault("finallyStartTime", record.now())
        # Stored before anything starts: a TaskRun is never there without its reference. And a skip
        # before its reason can change: found again later, another task's failure would come first.
        paused = time.monotonic() - self._saved > _PAUSE
        if starting or self._skipped or (self._changed and paused):
            self._save()
        for pipeline_task, children in starting:
            for planned in children:
                self._submit(pipeline_task, planned, section)

    def _settle(self, section: _Section) -> list[PipelineTaskState]:
        """Skip what will not run, until nothing more follows from it; the tasks ready to start."""
        while True:
            if self._stop_requested():
                raise StoppedError
            ready, changed = [], False
            for pipeline_task in self._facts.section(final=section.final):
                if pipeline_task.settled or pipeline_task.scheduled:
                    continue
                if self._skip(pipeline_task, section) or self._invalid(pipeline_task):
                    changed = self._skipped = True
                elif all(self._facts.tasks[name].settled for name in pipeline_task.parents):
                    ready.append(pipeline_task)
            if not changed:
                return ready

    def _stop_requested(self) -> bool:
        return any(halt.cause == "stop" for halt in self.halts)

    def _skip(self, pipeline_task: PipelineTaskState, section: _Section) -> bool:
        limits = Limits(self._deadline, section.deadline)
        facts, children = self._facts, self._children
        try:
            if pipeline_task.final:
                reason = final_skip_reason(
                    pipeline_task, facts, children.scope(pipeline_task), limits
                )
            else:
                reason = skip_reason(
                    pipeline_task, facts, lambda: children.scope(pipeline_task), limits
                )
        except CelEvaluationError as error:
            raise RunFailedError(
                "CELEvaluationFailed", f"{USER}Error evaluating CEL {self._plan.name}: {error}"
            ) from None
        if not reason:
            return False
        pipeline_task.skipped = reason
        if reason in TIMEOUTS:
            facts.timed_out.add(TIMEOUTS[reason])
        self._setting.around.notify(
            TaskSkipped(
                run=self._setting.around.folders.run, task=pipeline_task.name, reason=reason
            )
        )
        return True

    def _invalid(self, pipeline_task: PipelineTaskState) -> bool:
        """Whether the task's parents ended without leaving a result that it needs."""
        if not all(self._facts.tasks[name].settled for name in pipeline_task.parents):
            return False
        missing = missing_results(pipeline_task, self._facts)
        if missing:
            pipeline_task.invalid = self._missing_text(pipeline_task, missing[0])
        return bool(missing)

    def _missing_text(self, pipeline_task: PipelineTaskState, key: Key) -> str:
        parent = self._facts.tasks[key[1]]
        if parent.succeeded:
            return (
                f'task "{key[1]}" completed successfully but did not emit the result "{key[3]}",'
                f' which is referenced by task "{pipeline_task.name}"'
            )
        if not parent.scheduled:
            return (
                f'Result reference error: Internal result ref "{key[1]}" has zero-length TaskRuns'
            )
        return (
            f"Invalid task result reference: Could not find result with name {key[3]} for"
            f" pipeline task {key[1]}"
        )

    def _schedule(
        self, pipeline_task: PipelineTaskState
    ) -> list[PlannedTaskRun | PlannedPipelineRun]:
        try:
            return self._children.schedule(pipeline_task, self._children.scope(pipeline_task))
        except ManifestError as error:
            raise RunFailedError(
                "PipelineValidationFailed",
                f"{USER}PipelineRun default/{self._plan.name} can't be Run; couldn't resolve all"
                f" references: {error}",
            ) from None

    def _submit(
        self,
        pipeline_task: PipelineTaskState,
        planned: PlannedTaskRun | PlannedPipelineRun,
        section: _Section,
    ) -> None:
        name = _name(planned)
        self._running.add(name)
        stored = pipeline_task.runs[name] or None
        if isinstance(planned, PlannedTaskRun):
            work = self._setting.pool.submit(self._run_task, planned, stored, section.halt)
        else:
            # It only waits for TaskRuns, so it takes the place of none.
            work = _in_thread(lambda: self._run_inner(planned, stored, section.halt), name)
        self._futures.append(work)
        work.add_done_callback(lambda done: self._ended.put((pipeline_task.name, name, done)))

    def _run_task(self, planned: PlannedTaskRun, stored: Json | None, halt: Halt) -> Json:
        if halt.cause == "stop":
            raise StoppedError
        if halt.cause:
            status = failed_before_start(planned.taskrun, halt.cause)
            self._setting.around.save(planned.taskrun, status)
            return status
        return task_run.run(planned, stored, self._setting.around, halt)

    def _run_inner(self, plan: PlannedPipelineRun, stored: Json | None, halt: Halt) -> Json:
        save = self._setting.around.save
        setting = replace(
            self._setting,
            save=lambda status, _: save(plan.name, status),
            spec_status=lambda: "",
            above=halt,
        )
        try:
            return PipelineExecution(plan, status=stored or {}, setting=setting).run()
        except ManifestError as error:
            status = pipeline_status.rejected(stored or {}, refusal_of_pipeline_run(plan, error))
            save(plan.name, status)
            return status

    def _wait(self, section: _Section) -> None:
        """Wait until one run ended; when the time is over, end them all."""
        limits = [limit for limit in (self._deadline, section.deadline) if limit is not None]
        seconds = TICK
        if limits and not section.halt.cause:
            seconds = min(TICK, max(0.0, min(limits) - time.monotonic()))
        try:
            self._take(*self._ended.get(timeout=seconds))
            while True:
                self._take(*self._ended.get_nowait())
        except queue.Empty:
            pass
        now = time.monotonic()
        if section.halt.cause or not self._running:
            return
        if self._deadline is not None and now >= self._deadline:
            self._facts.timed_out.add("pipeline")
            section.halt.set(TIMED_OUT)
        elif section.deadline is not None and now >= section.deadline:
            self._facts.timed_out.add("finally" if section.final else "tasks")
            section.halt.set(TIMED_OUT)

    def _take(self, task: str, name: str, ended: Future[Json]) -> None:
        self._running.discard(name)
        pipeline_task = self._facts.tasks[task]
        pipeline_task.runs[name] = ended.result()
        self._facts.note_end(pipeline_task)
        self._changed = True

    def _drain(self) -> None:
        while self._running:
            self._take(*self._ended.get())

    def _note_spec_status(self) -> None:
        """See whether somebody asked the run to end, and end what has to end for it."""
        above = self._setting.above
        if above is not None and above.cause:
            if above.cause == "stop":
                raise StoppedError
            self._halt(above.cause)
            self._facts.spec_status = "Cancelled"
            return
        said = self._setting.spec_status()
        if not said or said == self._facts.spec_status:
            return
        self._facts.spec_status = said
        self._changed = True
        if said == "Cancelled":
            self._halt(CANCELLED)
        elif said == "CancelledRunFinally":
            self._tasks.halt.set(CANCELLED)

    # Status

    def _condition(self) -> Json:
        return conditions.condition(
            self._facts, run=self._plan.name, limit=self._limit, tasks_limit=self._tasks.limit
        )

    def _finish(self, failure: RunFailedError | None) -> Json:
        if failure:
            outcome = record.condition("False", failure.reason, str(failure))
        elif self._facts.spec_status == "Cancelled":
            text = f'PipelineRun "{self._plan.name}" was cancelled'
            outcome = record.condition("False", "Cancelled", text)
        else:
            outcome = self._condition()
            found, invalid = pipeline_status.pipeline_results(self._plan, self._facts)
            if found:
                self._status["results"] = found
            if invalid:
                outcome = pipeline_status.results_missing(self._plan.name, invalid)
        self._status["completionTime"] = record.now()
        self._save(outcome)
        return self._status

    def _save(self, outcome: Json | None = None) -> None:
        self._status["conditions"] = [outcome or self._condition()]
        self._status["childReferences"] = pipeline_status.child_references(self._facts)
        skipped = pipeline_status.skipped_tasks(self._facts)
        # A run that is out of time ends at once, and its tasks that never began are not told.
        if skipped and "pipeline" not in self._facts.timed_out:
            self._status["skippedTasks"] = skipped
        self._changed, self._skipped, self._saved = False, False, time.monotonic()
        self._setting.save(self._status, outcome is not None)


def _name(planned: PlannedTaskRun | PlannedPipelineRun) -> str:
    return planned.taskrun if isinstance(planned, PlannedTaskRun) else planned.name


def _in_thread(work: Callable[[], Json], name: str) -> Future[Json]:
    future: Future[Json] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
