"""One TaskRun from its first step to its last, with retries and a time limit."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from touchstone.engine import durations, process, record
from touchstone.engine.notices import Notice, StepStarted, TaskFinished, TaskStarted
from touchstone.engine.process import Guard, Halt
from touchstone.engine.record import Json
from touchstone.engine.results import ResultsTooLargeError, read_results
from touchstone.engine.steps import StartError, name_of, prepare, with_template
from touchstone.engine.substitute import Key, Scope, Value, scope_of
from touchstone.engine.values import resolve
from touchstone.engine.when import evaluate
from touchstone.engine.workspaces import Folders
from touchstone.errors import ManifestError

RESULT_LIMIT = 4096
"""Bytes that all results of a TaskRun may take together, as in Tekton by default."""

DEFAULT_TIMEOUT = 3600.0
"""Seconds, as in Tekton by default; 0 means none."""

_STEP_REASONS = {"exited": "Error", "timeout": "TimeoutExceeded", "halted": "TaskRunCancelled"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one TaskRun is to do."""

    task: str
    """Name shown to people: the pipeline task's, or the TaskRun's own."""

    task_name: str
    """What $(context.task.name) says."""

    taskrun: str
    spec: Mapping[str, Any]
    params: Mapping[str, Value]
    bindings: Mapping[str, Mapping[str, Any]]
    """Workspace bindings by the workspace's name in the Task."""

    surroundings: Scope = field(default_factory=Scope)
    """References an embedded taskSpec may make to the pipeline around it."""

    timeout: float = DEFAULT_TIMEOUT
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the TaskRuns of one run share."""

    folders: Folders
    guard: Guard
    notify: Callable[[Notice], None]
    save: Callable[[str, Json], None]
    """Store a TaskRun's status; called whenever it changed enough to be worth keeping."""

    turn: Callable[[Order, Halt], AbstractContextManager[Turn]]
    """Entered before anything of a TaskRun runs, left when it ended; see touchstone.engine.turn."""


class Turn(Protocol):
    """A TaskRun's leave to run."""

    taken: Json | None
    """The final status where nothing has to run, as its results are known already."""

    def ended(self, status: Json) -> None:
        """Take note of the final status."""


class _OverError(Exception):
    """The attempt ended early: why, in a condition's words."""

    def __init__(self, reason: str, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry


class StoppedError(Exception):
    """The engine was told to stop; the TaskRun stays unfinished and can be run again."""


def run(order: Order, stored: Json | None, around: Surroundings, halt: Halt) -> Json:
    """Run a TaskRun until it ended; its final status.

    `stored` is the status a killed engine left, whose retries stay counted. Raises StoppedError.
    """
    with around.turn(order, halt) as turn:
        if turn.taken is not None:
            return turn.taken
        status = _run(order, stored, around, halt)
        turn.ended(status)
        return status


def _run(order: Order, stored: Json | None, around: Surroundings, halt: Halt) -> Json:
    status: Json = {"retriesStatus": list((stored or {}).get("retriesStatus", []))}
    while True:
        attempt = len(status["retriesStatus"])
        around.notify(
            TaskStarted(
                run=around.folders.run, task=order.task, taskrun=order.taskrun, attempt=attempt
            )
        )
        began = time.monotonic()
        retry = _attempt(order, status, attempt, around, halt)
        condition = record.succeeded_condition(status)
        if condition["status"] == "False" and retry and attempt < order.retries:
            past = {key: value for key, value in status.items() if key != "retriesStatus"}
            status = {"retriesStatus": [*status["retriesStatus"], past]}
            around.save(order.taskrun, status)
            continue
        if not status["retriesStatus"]:
            del status["retriesStatus"]
        around.save(order.taskrun, status)
        around.notify(
            TaskFinished(
                run=around.folders.run,
                task=order.task,
                taskrun=order.taskrun,
                succeeded=condition["status"] == "True",
                reason=condition["reason"],
                message=condition["message"],
                seconds=time.monotonic() - began,
            )
        )
        return status


def _attempt(order: Order, status: Json, attempt: int, around: Surroundings, halt: Halt) -> bool:
    """Fill `status` with one attempt; whether a failed one may be retried."""
    status["startTime"] = record.now()
    status["podName"] = ""
    status["taskSpec"] = dict(order.spec)
    status["steps"] = []
    status["conditions"] = [
        record.condition("Unknown", "Running", "Not all Steps in the Task have finished executing")
    ]
    around.save(order.taskrun, status)
    retry = True
    outcome = record.condition("True", "Succeeded", "All Steps have completed executing")
    try:
        _Attempt(order, status, attempt, around, halt).run()
    except _OverError as over:
        outcome = record.condition("False", over.reason, str(over))
        retry = over.retry
    except ManifestError as error:
        outcome = record.condition("False", "TaskRunValidationFailed", str(error))
        retry = False
    status["completionTime"] = record.now()
    status["conditions"] = [outcome]
    return retry


class _Attempt:
    """One attempt: its folders, its scope, and the steps done so far."""

    def __init__(
        self, order: Order, status: Json, attempt: int, around: Surroundings, halt: Halt
    ) -> None:
        self._order, self._status, self._around, self._halt = order, status, around, halt
        self._folder = around.folders.taskrun(order.taskrun)
        self._attempt = attempt
        self._deadline = time.monotonic() + order.timeout if order.timeout else None
        template = order.spec.get("stepTemplate", {})
        self._steps = [
            (name_of(step, index), with_template(step, template))
            for index, step in enumerate(order.spec["steps"])
        ]

    def run(self) -> None:
        self._make_folders()
        scope = self._scope()
        failure: _OverError | None = None
        for name, step in self._steps:
            if failure:
                self._record(name, record.terminated(1, "Error", record.now()), "Skipped")
                continue
            try:
                scope = scope | self._step(name, step, scope)
            except _OverError as over:
                failure = over
        try:
            self._collect(scope)
        except _OverError as over:
            failure = failure or over
        shutil.rmtree(self._folder, ignore_errors=True)
        if failure:
            raise failure

    def _make_folders(self) -> None:
        # What an earlier attempt or a killed engine left would otherwise pass for this one's.
        shutil.rmtree(self._folder, ignore_errors=True)
        for part in ("results", "scripts", "workspace", "home", "steps"):
            (self._folder / part).mkdir(parents=True)
        for name, _ in self._steps:
            (self._folder / "steps" / f"step-{name}" / "results").mkdir(parents=True)
        self._logs = self._around.folders.logs(self._order.taskrun)
        self._logs.mkdir(parents=True, exist_ok=True)
        for name, _ in self._steps:
            (self._logs / f"{name}.log").unlink(missing_ok=True)

    def _scope(self) -> Scope:
        order, spec, folders = self._order, self._order.spec, self._around.folders
        params = resolve(spec.get("params", []), order.params, of=f"Task {order.task_name}")
        values: dict[Key, Value] = {
            ("context", "taskRun", "name"): order.taskrun,
            ("context", "taskRun", "namespace"): "default",
            ("context", "taskRun", "uid"): uid(folders.run, order.taskrun),
            ("context", "task", "name"): order.task_name,
            ("context", "task", "retry-count"): str(self._attempt),
            ("credentials", "path"): str(self._folder / "home"),
        }
        for result in spec.get("results", []):
            values["results", result["name"], "path"] = str(
                self._folder / "results" / result["name"]
            )
        for name, _ in self._steps:
            values["steps", f"step-{name}", "exitCode", "path"] = str(
                self._folder / "steps" / f"step-{name}" / "exitCode"
            )
        for workspace in spec.get("workspaces", []):
            name = workspace["name"]
            if name not in order.bindings and not workspace.get("optional"):
                raise ManifestError(
                    f"Task {order.task_name}: got no binding for workspace {name}, which is not"
                    " optional",
                    hint=f"-w {name}=FOLDER",
                )
            values["workspaces", name, "path"] = ""
            values["workspaces", name, "bound"] = "false"
            values["workspaces", name, "claim"] = ""
            values["workspaces", name, "volume"] = ""
        for name, binding in order.bindings.items():
            mount = folders.mount(binding, order.taskrun)
            values["workspaces", name, "path"] = str(mount.path)
            values["workspaces", name, "bound"] = "true"
            values["workspaces", name, "claim"] = mount.claim
            values["workspaces", name, "volume"] = mount.volume
        return order.surroundings | scope_of(("params",), params) | Scope(values)

    def _step(self, name: str, step: Mapping[str, Any], scope: Scope) -> Scope:
        """Run one step; what later steps may refer to. Raises _OverError and StoppedError."""
        here = self._folder / "steps" / f"step-{name}"
        local: dict[Key, Value] = {
            ("step", "results", result["name"], "path"): str(here / "results" / result["name"])
            for result in step.get("results", [])
        }
        scope = scope | Scope(local)
        if step.get("when") and not evaluate(step["when"], scope)[0]:
            self._record(name, record.terminated(0, "Completed", record.now()), "Skipped")
            return Scope()
        started = record.now()
        ended = self._run(name, step, scope)
        if ended.ending == "halted" and self._halt.cause == "stop":
            raise StoppedError
        (here / "exitCode").write_text(str(ended.code), encoding="utf-8")
        found = read_results(step.get("results", []), here / "results", limit=RESULT_LIMIT)
        reason = "Completed" if ended.code == 0 and ended.ending == "exited" else "Error"
        goes_on = scope.text(step.get("onError", "stopAndFail")) == "continue"
        ignored = reason == "Error" and ended.ending == "exited" and goes_on
        detail = _STEP_REASONS[ended.ending] if reason == "Error" else "Completed"
        entry = self._record(
            name, record.terminated(ended.code, reason, started), "Continued" if ignored else detail
        )
        if found:
            entry["results"] = [record.result(key, value) for key, value in found.items()]
        if reason == "Error" and not ignored:
            raise self._failure(name, step, ended)
        return scope_of(("steps", name, "results"), found)

    def _run(self, name: str, step: Mapping[str, Any], scope: Scope) -> process.Exit:
        log = self._logs / f"{name}.log"
        folders = self._around.folders
        self._around.notify(StepStarted(run=folders.run, task=self._order.task, step=name, log=log))
        deadline = self._deadline
        if step.get("timeout"):
            own = time.monotonic() + durations.seconds(scope.text(step["timeout"]))
            deadline = own if deadline is None else min(own, deadline)
        try:
            call = prepare(step, name, scope=scope, folders=folders, taskrun=self._order.taskrun)
            return process.run(
                call.argv,
                environment=call.environment,
                folder=call.folder,
                log=log,
                deadline=deadline,
                halt=self._halt,
                guard=self._around.guard,
            )
        except (StartError, OSError) as error:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"touchstone: step {name} could not start: {error}\n")
            return process.Exit(127, "exited")

    def _failure(self, name: str, step: Mapping[str, Any], ended: process.Exit) -> _OverError:
        taskrun = self._order.taskrun
        if ended.ending == "halted":
            message = f'TaskRun "{taskrun}" was cancelled. {self._halt.cause}'
            return _OverError("TaskRunCancelled", message, retry=False)
        if ended.ending == "timeout":
            if self._deadline is not None and time.monotonic() >= self._deadline:
                limit = durations.go_text(self._order.timeout)
                return _OverError(
                    "TaskRunTimeout", f'TaskRun "{taskrun}" failed to finish within "{limit}"'
                )
            return _OverError(
                "Failed",
                f'"step-{name}" exited because the step exceeded the specified timeout limit',
            )
        return _OverError("Failed", f'"step-{name}" exited with code {ended.code}')

    def _record(self, name: str, terminated: Json, reason: str) -> Json:
        entry: Json = {
            "name": name,
            "container": f"step-{name}",
            "terminated": terminated,
            "terminationReason": reason,
        }
        self._status["steps"].append(entry)
        return entry

    def _collect(self, scope: Scope) -> None:
        specs = self._order.spec.get("results", [])
        try:
            found = read_results(specs, self._folder / "results", limit=RESULT_LIMIT)
        except ResultsTooLargeError as error:
            raise _OverError("TaskRunResultLargerThanAllowedLimit", str(error)) from None
        except ManifestError as error:
            raise _OverError("Failed", str(error)) from None
        for spec in specs:
            if "value" in spec:
                value = scope.apply(spec["value"])
                if value != spec["value"]:
                    found[spec["name"]] = value
        if found:
            self._status["results"] = [record.result(name, found[name]) for name in found]


def uid(run: str, taskrun: str = "") -> str:
    """A stable unique identifier, the same after the engine was started again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"touchstone:{run}/{taskrun}"))
