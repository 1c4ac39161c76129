"""One PipelineRun: which task starts when, which is skipped and why, and how the run ends."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.engine import durations, graph, record, taskrun
from touchstone.engine.credentials import DEFAULT_ACCOUNT
from touchstone.engine.notices import TaskSkipped
from touchstone.engine.process import Halt
from touchstone.engine.record import Json
from touchstone.engine.substitute import Key, Scope, Value, references, scope_of
from touchstone.engine.taskrun import Order, Surroundings, uid
from touchstone.engine.values import as_value, resolve
from touchstone.engine.when import evaluate
from touchstone.errors import ManifestError

TIMED_OUT = "TaskRun cancelled as the PipelineRun it belongs to has timed out."
_NAME_LIMIT = 63
"""Characters a Kubernetes object's name may have where it becomes a label."""

WHEN_FALSE = "When Expressions evaluated to false"
PARENT_SKIPPED = "Parent Tasks were skipped"
STOPPING = "PipelineRun was stopping"
RESULTS_MISSING = "Results were missing"
PIPELINE_TIMEOUT = "PipelineRun timeout has been reached"
TASKS_TIMEOUT = "PipelineRun Tasks timeout has been reached"
FINALLY_TIMEOUT = "PipelineRun Finally timeout has been reached"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A PipelineRun with everything its references name."""

    name: str
    manifest: Mapping[str, Any]
    pipeline: str
    """What $(context.pipeline.name) says."""

    spec: Mapping[str, Any]
    task_specs: Mapping[str, Mapping[str, Any]]
    """Specs of the Tasks referred to, by the Task's name."""

    parallel: int


@dataclass
class _Phase:
    """The tasks of one section, with its own time limit and its own way to be halted."""

    tasks: list[Mapping[str, Any]]
    halt: Halt
    timeout_reason: str
    deadline: float | None = None
    running: set[str] = field(default_factory=set)


class PipelineExecution:
    """Runs a plan to its end, going on from stored statuses where there are some."""

    def __init__(
        self,
        plan: Plan,
        *,
        status: Json,
        taskruns: Mapping[str, Json],
        around: Surroundings,
        save: Callable[[Json, bool], None],
    ) -> None:
        self._plan, self._around, self._save_run = plan, around, save
        self._spec = plan.spec
        self._status: Json = dict(status)
        self._status.setdefault("startTime", record.now())
        self._status["pipelineSpec"] = dict(plan.spec)
        self._names: dict[str, str] = {
            item["pipelineTaskName"]: item["name"] for item in status.get("childReferences", [])
        }
        self._when: dict[str, list[Json]] = {}
        self._done: dict[str, Json] = {}
        self._stored: dict[str, Json] = {}
        for task, name in self._names.items():
            stored = taskruns.get(name, {})
            (self._done if record.finished(stored) else self._stored)[task] = stored
        self._skipped: dict[str, str] = {}
        self._invalid = ""
        """Why a task could not be started at all, in Tekton's words; empty where none failed so."""
        self._finished: queue.SimpleQueue[tuple[str, Json | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._limits()

    def _limits(self) -> None:
        timeouts = self._plan.manifest["spec"].get("timeouts", {})
        limit = {name: durations.seconds(text) for name, text in timeouts.items()}
        self._limit = limit.get("pipeline", taskrun.DEFAULT_TIMEOUT)
        tasks, last = limit.get("tasks", 0.0), limit.get("finally", 0.0)
        if self._limit:
            tasks = tasks or (self._limit - last if last else 0.0)
            last = last or (self._limit - tasks if tasks else 0.0)
        now = time.monotonic()
        self._deadline = now + self._limit if self._limit else None
        self._finally_limit = last
        self._tasks = _Phase(list(self._spec["tasks"]), Halt(), TASKS_TIMEOUT)
        self._tasks.deadline = now + tasks if tasks else None
        self._finally = _Phase(list(self._spec.get("finally", [])), Halt(), FINALLY_TIMEOUT)

    @property
    def halts(self) -> tuple[Halt, Halt]:
        """What to set for the run to stop."""
        return self._tasks.halt, self._finally.halt

    def run(self) -> Json:
        """Run to the end; the final status. Raises StoppedError when told to stop."""
        self._scope = self._pipeline_scope()
        try:
            self._save()
            self._run_phase(self._tasks)
            if self._finally_limit:
                self._finally.deadline = time.monotonic() + self._finally_limit
            self._run_phase(self._finally)
        finally:
            self._join()
        return self._finish()

    def _join(self) -> None:
        for halt in self.halts:
            halt.set("stop")
        for thread in self._threads:
            thread.join()

    def _pipeline_scope(self) -> Scope:
        spec, plan = self._spec, self._plan
        self._given = {
            item["name"]: as_value(item["value"])
            for item in plan.manifest["spec"].get("params", [])
        }
        self._params = resolve(spec.get("params", []), self._given, of=f"Pipeline {plan.pipeline}")
        self._bindings = {
            item["name"]: item for item in plan.manifest["spec"].get("workspaces", [])
        }
        for workspace in spec.get("workspaces", []):
            if workspace["name"] not in self._bindings and not workspace.get("optional"):
                raise ManifestError(
                    f"Pipeline {plan.pipeline}: got no binding for workspace {workspace['name']},"
                    " which is not optional",
                    hint=f"-w {workspace['name']}=FOLDER",
                )
        values: dict[Key, Value] = {
            ("context", "pipelineRun", "name"): plan.name,
            ("context", "pipelineRun", "namespace"): "default",
            ("context", "pipelineRun", "uid"): uid(plan.name),
            ("context", "pipeline", "name"): plan.pipeline,
        }
        for workspace in spec.get("workspaces", []):
            bound = workspace["name"] in self._bindings
            values["workspaces", workspace["name"], "bound"] = "true" if bound else "false"
        return scope_of(("params",), self._params) | Scope(values)

    # Scheduling

    def _run_phase(self, phase: _Phase) -> None:
        while True:
            self._start_ready(phase)
            if not phase.running:
                return
            self._wait(phase)

    def _start_ready(self, phase: _Phase) -> None:
        changed = True
        while changed:
            changed = False
            for task in phase.tasks:
                name = task["name"]
                if self._settled(name) or name in phase.running:
                    continue
                if self._stop_requested():
                    return
                waits = phase is self._tasks and not self._parents_settled(task)
                if waits and not self._stopping():
                    continue
                reason = self._skip_reason(task, phase)
                if reason:
                    self._skip(name, reason)
                    changed = True
                elif not self._invalid_start(task, phase) and len(phase.running) < (
                    self._plan.parallel
                ):
                    self._start(task, phase)

    def _settled(self, name: str) -> bool:
        return name in self._done or name in self._skipped

    def _parents_settled(self, task: Mapping[str, Any]) -> bool:
        return all(self._settled(parent) for parent in graph.parents(task))

    def _stop_requested(self) -> bool:
        return any(halt.cause == "stop" for halt in self.halts)

    def _failed(self, name: str) -> bool:
        return name in self._done and not record.succeeded(self._done[name])

    def _stopping(self) -> bool:
        return bool(self._invalid) or any(
            self._failed(task["name"]) and task.get("onError") != "continue"
            for task in self._tasks.tasks
        )

    def _skip_reason(self, task: Mapping[str, Any], phase: _Phase) -> str:
        """Tekton's reason why this task will not run, in Tekton's order of precedence."""
        if task["name"] in self._stored:
            return ""  # it had been started before the engine was killed
        final = phase is self._finally
        if not final:
            if self._stopping():
                return STOPPING
            if any(
                self._skipped.get(parent, WHEN_FALSE) != WHEN_FALSE
                for parent in graph.parents(task)
            ):
                return PARENT_SKIPPED
        missing = self._missing_results(task)
        if any(final or self._skipped.get(key[1]) == WHEN_FALSE for key in missing):
            return RESULTS_MISSING
        if not missing and task.get("when"):
            holds, expressions = evaluate(task["when"], self._task_scope(task, phase))
            if expressions:
                self._when[task["name"]] = expressions
            if not holds:
                return WHEN_FALSE
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            return PIPELINE_TIMEOUT
        if phase.deadline is not None and now >= phase.deadline:
            return phase.timeout_reason
        return ""

    def _missing_results(self, task: Mapping[str, Any]) -> list[Key]:
        return [
            key
            for key in graph.result_references(task)
            if key[3] not in record.results(self._done.get(key[1], {}))
        ]

    def _invalid_start(self, task: Mapping[str, Any], phase: _Phase) -> bool:
        """Note a result that a task which ran did not leave; the run then fails."""
        missing = self._missing_results(task)
        if missing and phase is self._tasks:
            key = missing[0]
            self._invalid = (
                f"Invalid task result reference: Could not find result with name {key[3]}"
                f" for task {key[1]}"
            )
        return bool(missing)

    def _skip(self, name: str, reason: str) -> None:
        self._skipped[name] = reason
        self._around.notify(TaskSkipped(run=self._plan.name, task=name, reason=reason))
        self._save()

    def _start(self, task: Mapping[str, Any], phase: _Phase) -> None:
        name = task["name"]
        self._names.setdefault(name, child_name(self._plan.name, name))
        try:
            order = self._order(task, phase)
        except ManifestError as error:
            self._invalid = self._invalid or str(error)
            self._names.pop(name)
            self._skipped[name] = STOPPING
            return
        phase.running.add(name)
        self._save()
        thread = threading.Thread(
            target=self._work, args=(name, order, phase.halt), name=order.taskrun, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _work(self, name: str, order: Order, halt: Halt) -> None:
        try:
            self._finished.put(
                (name, taskrun.run(order, self._stored.get(name), self._around, halt))
            )
        except BaseException as error:
            self._finished.put((name, error))

    def _wait(self, phase: _Phase) -> None:
        """Wait until one task ended; when the time is over, end them all."""
        limits = [limit for limit in (self._deadline, phase.deadline) if limit is not None]
        seconds = min(limits) - time.monotonic() if limits and not phase.halt.cause else None
        try:
            name, ended = self._finished.get(timeout=None if seconds is None else max(0.0, seconds))
        except queue.Empty:
            phase.halt.set(TIMED_OUT)
            return
        phase.running.discard(name)
        if isinstance(ended, BaseException):
            raise ended
        self._done[name] = ended
        self._save()

    # One task

    def _task_scope(self, task: Mapping[str, Any], phase: _Phase) -> Scope:
        values: dict[Key, Value] = {
            ("context", "pipelineTask", "retries"): str(task.get("retries", 0))
        }
        for name, status in self._done.items():
            for result, value in record.results(status).items():
                values["tasks", name, "results", result] = value
        if phase is self._finally:
            for other in self._tasks.tasks:
                name = other["name"]
                values["tasks", name, "status"] = record.outcome(self._done.get(name))
                if name in self._done:
                    condition = record.succeeded_condition(self._done[name])
                    values["tasks", name, "reason"] = condition["reason"]
                    values["tasks", name, "message"] = condition["message"]
            values["tasks", "status"] = self._aggregate()
        return self._scope | Scope(values)

    def _aggregate(self) -> str:
        """What $(tasks.status) says."""
        names = [task["name"] for task in self._tasks.tasks]
        if any(self._failed(name) for name in names):
            return "Failed"
        if self._invalid or not all(self._settled(name) for name in names):
            return "None"
        return "Completed" if any(name in self._skipped for name in names) else "Succeeded"

    def _order(self, task: Mapping[str, Any], phase: _Phase) -> Order:
        scope = self._task_scope(task, phase)
        params = {
            item["name"]: scope.apply(as_value(item["value"])) for item in task.get("params", [])
        }
        embedded = task.get("taskSpec")
        spec = embedded if embedded is not None else self._plan.task_specs[task["taskRef"]["name"]]
        bindings = self._task_bindings(task, scope)
        surroundings = Scope()
        if embedded is not None:
            # Only an embedded spec sees the pipeline's params, results and workspaces.
            declared = {item["name"] for item in spec.get("params", [])}
            for name, value in self._params.items():
                if name not in declared or name in self._given:
                    params.setdefault(name, value)
            bindings = {**self._bindings, **bindings}
            surroundings = scope
        timeout = task.get("timeout")
        template = dict(self._plan.manifest["spec"].get("taskRunTemplate", {}))
        for item in self._plan.manifest["spec"].get("taskRunSpecs", []):
            if item["pipelineTaskName"] == task["name"]:
                timeout = item.get("timeout", timeout)
                template |= {
                    key: item[key] for key in ("podTemplate", "serviceAccountName") if key in item
                }
        return Order(
            task=task["name"],
            task_name=task.get("taskRef", {}).get("name", task["name"]),
            taskrun=self._names[task["name"]],
            spec=spec,
            params=params,
            bindings=bindings,
            surroundings=surroundings,
            timeout=durations.seconds(timeout) if timeout else taskrun.DEFAULT_TIMEOUT,
            retries=task.get("retries", 0),
            pod=template.get("podTemplate", {}),
            account=template.get("serviceAccountName", DEFAULT_ACCOUNT),
        )

    def _task_bindings(self, task: Mapping[str, Any], scope: Scope) -> dict[str, Mapping[str, Any]]:
        bindings: dict[str, Mapping[str, Any]] = {}
        for item in task.get("workspaces", []):
            binding = self._bindings.get(item.get("workspace", item["name"]))
            if binding is None:
                continue
            parts = (binding.get("subPath", ""), scope.text(item.get("subPath", "")))
            bindings[item["name"]] = {
                **binding,
                "subPath": "/".join(part for part in parts if part),
            }
        return bindings

    # Status

    def _counts(self) -> tuple[int, int, int, int]:
        """Tasks that succeeded, failed, failed but were let pass, and were cancelled."""
        succeeded = failed = ignored = cancelled = 0
        for task in (*self._tasks.tasks, *self._finally.tasks):
            status = self._done.get(task["name"])
            if status is None:
                continue
            condition = record.succeeded_condition(status)
            if condition["status"] == "True":
                succeeded += 1
            elif (
                condition["reason"] == "TaskRunCancelled" and TIMED_OUT not in condition["message"]
            ):
                cancelled += 1
            elif task.get("onError") == "continue":
                ignored += 1
            else:
                failed += 1
        return succeeded, failed, ignored, cancelled

    def _condition(self) -> Json:
        succeeded, failed, ignored, cancelled = self._counts()
        total = len(self._tasks.tasks) + len(self._finally.tasks)
        done = succeeded + failed + ignored + cancelled
        skipped = len(self._skipped)
        failures = (
            f"Failed: {failed + ignored} (Ignored: {ignored})" if ignored else f"Failed: {failed}"
        )
        text = f"Tasks Completed: {done} ({failures}, Cancelled {cancelled}), "
        if done + skipped < total:
            reason = "Stopping" if self._stopping() else "Running"
            text += f"Incomplete: {total - done - skipped}, Skipped: {skipped}"
            return record.condition("Unknown", reason, text)
        text += f"Skipped: {skipped}"
        if self._deadline is not None and time.monotonic() >= self._deadline and self._cut_short():
            limit = durations.go_text(self._limit)
            text = f'PipelineRun "{self._plan.name}" failed to finish within "{limit}"'
            return record.condition("False", "PipelineRunTimeout", text)
        if self._invalid:
            return record.condition("False", "InvalidTaskResultReference", self._invalid)
        if failed or self._cut_short():
            return record.condition("False", "Failed", text)
        if cancelled:
            return record.condition("False", "Cancelled", text)
        return record.condition("True", "Completed" if skipped else "Succeeded", text)

    def _cut_short(self) -> bool:
        """Whether a time limit of the run kept a task from running or from ending."""
        reasons = {PIPELINE_TIMEOUT, TASKS_TIMEOUT, FINALLY_TIMEOUT}
        return any(reason in reasons for reason in self._skipped.values()) or any(
            TIMED_OUT in record.succeeded_condition(status)["message"]
            for status in self._done.values()
        )

    def _finish(self) -> Json:
        results = self._results()
        if results:
            self._status["results"] = results
        self._status["completionTime"] = record.now()
        self._save(done=True)
        return self._status

    def _results(self) -> list[Json]:
        values: dict[Key, Value] = {}
        finals = {task["name"] for task in self._finally.tasks}
        for name, status in self._done.items():
            section = "finally" if name in finals else "tasks"
            for result, value in record.results(status).items():
                values[section, name, "results", result] = value
        scope = self._scope | Scope(values)
        found = []
        for item in self._spec.get("results", []):
            try:
                known = all(scope.find(key) is not None for key in references(item["value"]))
            except ManifestError:
                known = False  # an index the array does not have, in Tekton no reason to fail
            if known:
                value = scope.apply(as_value(item["value"]))
                found.append({"name": item["name"], "value": value})
        return found

    def _save(self, *, done: bool = False) -> None:
        self._status["conditions"] = [self._condition()]
        self._status["childReferences"] = [
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "TaskRun",
                "name": name,
                "pipelineTaskName": task,
                **({"whenExpressions": self._when[task]} if task in self._when else {}),
            }
            for task, name in self._names.items()
        ]
        if self._skipped:
            self._status["skippedTasks"] = [
                {
                    "name": name,
                    "reason": reason,
                    **(
                        {"whenExpressions": self._when[name]}
                        if reason == WHEN_FALSE and name in self._when
                        else {}
                    ),
                }
                for name, reason in self._skipped.items()
            ]
        self._save_run(self._status, done)


def child_name(run: str, task: str) -> str:
    """The TaskRun's name: run and task, shortened with a hash where it would be too long."""
    name = f"{run}-{task}"
    if len(name) <= _NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: _NAME_LIMIT - 17].rstrip('-.')}-{digest}"
