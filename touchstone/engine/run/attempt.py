"""One attempt at a TaskRun: its pod, its sidecars, and its steps one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.documents.yaml import Document
from touchstone.engine.language import durations
from touchstone.engine.language.names import child_name
from touchstone.engine.language.substitute import Key, Scope, Value, scope_of
from touchstone.engine.language.values import task_params
from touchstone.engine.language.when import evaluate
from touchstone.engine.plan import step_actions
from touchstone.engine.plan.references import Definition, replaced_reference
from touchstone.engine.plan.refusals import USER
from touchstone.engine.plan.task_run import (
    AttemptEndedError,
    PlannedTaskRun,
    StoppedError,
    Surroundings,
    uid,
)
from touchstone.engine.pod import downward, process, provenance
from touchstone.engine.pod.pod import Pod
from touchstone.engine.pod.process import Halt
from touchstone.engine.pod.results import message_size, raw_results, typed
from touchstone.engine.pod.sidecars import SidecarError, Sidecars
from touchstone.engine.pod.steps import Left, StartError, name_of, with_template
from touchstone.engine.rules import leftover
from touchstone.engine.run.step_run import StepRunner
from touchstone.errors import ManifestError
from touchstone.runs import faults, record
from touchstone.runs.record import Json

_TIMED_OUT, _CANCELLED = "TaskRunTimeout", "TaskRunCancelled"
"""Reasons of a TaskRun whose Pod goes with it: what steps left goes too."""

_ARTIFACTS = "/tekton/artifacts/provenance.json"
"""How a step's message calls what was said of artifacts; that of a step's own is as long."""


class Attempt:
    """One attempt: its pod, its scope, and the steps done so far."""

    def __init__(
        self, planned: PlannedTaskRun, status: Json, attempt: int, around: Surroundings, halt: Halt
    ) -> None:
        self._task_run, self._status, self._around, self._halt = planned, status, around, halt
        self._attempt = attempt
        self._deadline = time.monotonic() + planned.timeout if planned.timeout else None
        self._spec = planned.spec
        self._steps = [(name_of(step, i), step) for i, step in enumerate(self._spec["steps"])]
        self._sidecar_specs = [
            (str(item.get("name") or f"unnamed-{i}"), item)
            for i, item in enumerate(self._spec.get("sidecars", []))
        ]
        self._pod = Pod(
            around.folders,
            planned.taskrun,
            real=not around.guard.without_namespaces(),
            steps=[name for name, _ in self._steps],
            sidecars=[name for name, _ in self._sidecar_specs],
            fields=self._fields(),
        )
        deadline = self._deadline
        self._runner = StepRunner(planned, around, self._pod, status, deadline=deadline, halt=halt)
        self._breakpoints = self._runner.breakpoints
        self._artifacts: provenance.Artifacts = {}
        self._results = self._pod.folder / "results"
        self._told: dict[str, bytes] = {}
        """Results of the Task as far as a step told them."""

        self._actions: dict[str, Definition] = {}

    def run(self) -> None:
        """Run it. Raises AttemptEndedError where it failed, ManifestError, StoppedError."""
        pod = self._pod
        pod.make_folders()
        if self._breakpoints:
            seen = {"run": pod.path("run"), "debug": pod.path("debug")}
            self._breakpoints.make_folder(pod.debug, **seen)
        self._make_logs()
        try:
            failure = self._inside()
        finally:
            self._pod.remove()  # Secrets lie there too
        if failure:
            raise failure

    def _inside(self) -> AttemptEndedError | None:
        params, scope = self._scopes()
        self._find_actions(params)
        template = params.apply(self._task_run.pod)
        self._runner.template = template
        bindings, volumes = self._task_run.bindings, template.get("volumes", [])
        self._pod.attach(self._spec, bindings, volumes, params, scope)
        steps = {name: self._resolved(name, step, params) for name, step in self._steps}
        self._check_leftovers(steps, scope)
        sidecars = Sidecars(self._around.guard, self._halt, self._deadline)
        try:
            self._start_sidecars(sidecars, scope)
            failure = self._run_steps(steps, scope)
        finally:
            sidecars.stop()
            if self._sidecar_specs:
                self._status["sidecars"] = sidecars.states()
        if failure is None or failure.reason == "StepFailed":
            # As in Tekton, a sidecar that broke is the likelier cause, and is told first.
            broken = sidecars.failure(pod_goes_on=failure is None)
            return AttemptEndedError("SidecarFailed", broken) if broken else failure
        return failure

    def _fields(self) -> downward.Fields:
        planned, run = self._task_run, self._around.folders.run
        name = child_name(
            planned.taskrun, f"-pod-retry{self._attempt}" if self._attempt else "-pod"
        )
        own = {
            "tekton.dev/taskRun": planned.taskrun,
            "tekton.dev/taskRunUID": uid(run, planned.taskrun),
        }
        return downward.fields_of(
            name=name,
            uid=uid(run, name),
            account=planned.account,
            labels={
                **planned.metadata.labels,
                "app.kubernetes.io/managed-by": "tekton-pipelines",
                **own,
            },
            annotations=planned.metadata.annotations,
        )

    def _make_logs(self) -> None:
        self._logs = self._around.folders.logs(self._task_run.taskrun)
        self._logs.mkdir(parents=True, exist_ok=True)
        names = [name for name, _ in self._steps]
        for name in (*names, *(f"sidecar-{name}" for name, _ in self._sidecar_specs)):
            (self._logs / f"{name}.log").unlink(missing_ok=True)

    def _scopes(self) -> tuple[Scope, Scope]:
        """The Task's params; and all that is replaced before paths are, pass by pass."""
        planned, spec = self._task_run, self._spec
        of = f"Task {planned.task_name}"
        params = scope_of(("params",), task_params(spec.get("params", []), planned.params, of=of))
        contexts: dict[Key, Value] = {
            ("context", "taskRun", "name"): planned.taskrun,
            ("context", "taskRun", "namespace"): "default",
            ("context", "taskRun", "uid"): uid(self._around.folders.run, planned.taskrun),
            ("context", "task", "name"): planned.task_name,
            ("context", "task", "retry-count"): str(self._attempt),
        }
        for workspace in spec.get("workspaces", []):
            name = workspace["name"]
            if name not in planned.bindings and not workspace.get("optional"):
                raise ManifestError(
                    f"Task {planned.task_name}: got no binding for workspace {name}, which is not"
                    " optional",
                    hint=f"-w {name}=FOLDER",
                )
        return params, planned.surroundings.then(params).then(Scope(contexts))

    def _start_sidecars(self, sidecars: Sidecars, scope: Scope) -> None:
        try:
            for name, spec in self._sidecar_specs:
                scope_here = scope.then(self._pod.passes(spec))
                call = self._runner.prepare(spec, name, scope_here, sidecar=True)
                sidecars.start(name, spec, call, self._logs / f"sidecar-{name}.log")
            sidecars.wait_until_ready()
        except SidecarError as error:
            raise AttemptEndedError("SidecarFailed", str(error)) from None
        except StartError as error:
            raise AttemptEndedError("SidecarFailed", str(error)) from None

    def _run_steps(self, steps: Mapping[str, Json], scope: Scope) -> AttemptEndedError | None:
        """Run the steps and read the results; what failed first."""
        failure: AttemptEndedError | None = None
        left = Left()
        for name, step in steps.items():
            if failure and failure.reason in (_TIMED_OUT, _CANCELLED):
                now = record.now()
                self._record(name, record.terminated(1, failure.reason, now), failure.reason)
                continue
            past = failure and self._breakpoints.on_failure and failure.reason == "StepFailed"
            if failure and not (past or failure.later_steps):
                self._record(name, record.terminated(1, "Error", record.now()), "Skipped")
                continue
            try:
                left = left | self._step(name, step, scope, left)
            except AttemptEndedError as over:
                failure = failure if failure and over.reason == "StepFailed" else over
        if failure and failure.reason in (_TIMED_OUT, _CANCELLED):
            for entry in self._status["steps"]:
                entry.pop("results", None)
            return failure
        try:
            self._collect(left.results)
        except AttemptEndedError as over:
            failure = failure or over
        return failure

    def _find_actions(self, params: Scope) -> None:
        """Find every StepAction before anything runs.

        Raises AttemptEndedError where one cannot be had.
        """
        task = Document({"spec": self._spec}, f"TaskRun {self._task_run.taskrun}")
        for index, (name, step) in enumerate(self._steps):
            if "ref" in step:
                reference, place = replaced_reference(step["ref"], params), ("spec", "steps", index)
                try:
                    found = self._around.references.find("StepAction", reference, task, place)
                except ManifestError as error:
                    raise AttemptEndedError(
                        "TaskRunResolutionFailed",
                        f'failed to resolve step ref for step "{step.get("name", "")}"'
                        f" (index {index}): {error}",
                        retry=False,
                    ) from None
                self._actions[name] = found

    def _resolved(self, name: str, step: Mapping[str, Any], params: Scope) -> Json:
        """A step with its StepAction and the template merged in."""
        action = self._actions.get(name)
        if action is not None:
            of = f"StepAction {action.name}"
            own = step_actions.given_params(step, action.spec, params, of=of)
            step = step_actions.resolved(step, action.spec, own)
        return with_template(step, self._spec.get("stepTemplate", {}))

    def _check_leftovers(self, steps: Mapping[str, Json], scope: Scope) -> None:
        """Refuse what Tekton refuses of the steps it made: it looks at them once more.

        A value may have brought a reference along that no pass knows. Raises AttemptEndedError.
        """
        for name, step in steps.items():
            inside = scope.then(self._pod.passes(step, step=name))
            if text := leftover(step, inside, self._spec):
                taskrun = self._task_run.taskrun
                raise AttemptEndedError(
                    "PodCreationFailed",
                    f'failed to create task run pod "{taskrun}": non-existent variable in "{text}":'
                    f" steps[{self._pod.index(name)}]. Maybe missing or invalid Task",
                    retry=False,
                )

    def _step(self, name: str, whole: Json, scope: Scope, left: Left) -> Left:
        """What it leaves to later steps, once it ran. Raises AttemptEndedError, StoppedError."""
        # Asked now: a step before may have left a link on the way to a workspace.
        scope = scope.then(self._pod.passes(whole, step=name))
        image = scope.text(whole.get("image", ""))
        if whole.get("when") and not evaluate(whole["when"], scope.then(left.all))[0]:
            skipped = record.terminated(0, "Completed", record.now())
            self._record(name, skipped, "Skipped", image)
            return Left()
        started = record.now()
        ended = self._runner.run(name, whole, scope, left)
        if ended.ending == "halted" and self._halt.cause == "stop":
            raise StoppedError
        over = self._over(ended)
        if over is not None:
            self._record(name, record.terminated(1, over.reason, started), over.reason, image)
            raise over
        goes_on = scope.text(whole.get("onError", "stopAndFail")) == "continue"
        # Behind a breakpoint it is the person who says whether a failure counts. And where Tekton
        # cannot start a step or its own time is over, onError does not count.
        ignored = (
            goes_on
            and not self._breakpoints.on_failure
            and ended.ending == "exited"
            and ended.started
        )
        found, made, refused = self._left(name, whole, ended, ignored=ignored)
        code, reason, detail = _told(ended, ignored=ignored, refused=refused)
        entry = self._record(name, record.terminated(code, reason, started), detail, image)
        if found:
            entry["results"] = [record.result(key, value) for key, value in found.items()]
        entry.update(made)
        action = self._actions.get(name)
        if action is not None and action.source:
            entry["provenance"] = {"refSource": action.source}
        self._artifacts = provenance.merged(self._artifacts, made)
        if ended.ending == "timeout":
            raise AttemptEndedError(
                "StepFailed",
                f'"step-{name}" exited because the step exceeded the specified timeout limit',
            )
        if reason == "Error":  # told first; what it left comes after
            raise _step_failed(name, code, later_steps=refused is not None and refused.later_steps)
        if refused is not None:
            raise refused
        results = scope_of(("steps", name, "results"), found)
        return Left(results, provenance.scope_of_step(name, made))

    def _left(
        self, name: str, step: Mapping[str, Any], ended: process.Exit, *, ignored: bool
    ) -> tuple[dict[str, Any], provenance.Artifacts, AttemptEndedError | None]:
        """The results and artifacts of a step, and why what it left is refused."""
        found: dict[str, Any] = {}
        here = self._pod.step_folder(name)
        specs, limit = step.get("results", []), self._around.result_limit
        failed = bool(ended.code) and not ignored
        try:
            self._note_exit(name, here, _go_code(ended.code))
            with _failing("TaskRunValidationFailed", USER):
                results = raw_results(specs, here / "results", limit=limit)
            with _failing("Failed"):
                artifacts = provenance.raw_artifacts(here)
            told, own = self._so_far()
            left = [*told.items(), *results.items()]
            left += [(_ARTIFACTS, content) for content in (artifacts, own) if content]
            size = message_size(left, exit_code=ended.code if ended.code and ignored else None)
            if size > limit:
                self._runner.say(
                    name,
                    f"as JSON its results take {size} bytes, expected at most {limit}: write large"
                    " values to the artifact store or a workspace",
                )
                return {}, {}, _step_failed(name, 1, later_steps=not failed)
            self._told |= told
            with _failing("TaskRunValidationFailed", USER):
                found = typed(specs, results)
            with _failing("Failed"):
                return found, provenance.parsed(artifacts), None
        except NotPlainError as error:
            refused = AttemptEndedError("TaskRunValidationFailed", f"{USER}{name}: {error}")
        except AttemptEndedError as error:
            refused = error
        return found, {}, refused

    def _so_far(self) -> tuple[dict[str, bytes], bytes]:
        """What every step tells of its Task: the results and artifacts that are there by now."""
        found: dict[str, bytes] = {}
        for spec in self._spec.get("results", []):
            with suppress(ManifestError):  # no regular file: refused in the end, if it is none then
                found |= raw_results([spec], self._results, limit=self._around.result_limit)
        with suppress(ManifestError):
            return found, provenance.raw_artifacts(self._pod.folder)
        return found, b""

    def _note_exit(self, name: str, here: Path, code: int) -> None:
        try:
            beneath.write(here, "exitCode", str(code).encode())
        except OSError as error:
            # Only a later step reads it. Where there is none, a disk that the step itself filled,
            # and that is free once the pod is gone, costs the step nothing.
            later = not code and name != self._steps[-1][0]
            if later or not faults.passing(error):
                raise

    def _over(self, ended: process.Exit) -> AttemptEndedError | None:
        """Why the whole TaskRun is over, where it is, and with it the step."""
        taskrun = self._task_run.taskrun
        if ended.ending == "halted":
            message = f'TaskRun "{taskrun}" was cancelled. {self._halt.cause}'
            return AttemptEndedError(_CANCELLED, message, retry=False)
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if ended.ending == "timeout" and late:
            limit = durations.go_text(self._task_run.timeout)
            return AttemptEndedError(
                _TIMED_OUT, f'TaskRun "{taskrun}" failed to finish within "{limit}"'
            )
        return None

    def _record(self, name: str, terminated: Json, reason: str, image: str = "") -> Json:
        entry: Json = {
            "name": name,
            "container": f"step-{name}",
            "terminated": terminated,
            "terminationReason": reason,
        }
        if "@" in image:  # nothing was pulled: the only digest known is the reference's own
            entry["imageID"] = image
        self._status["steps"].append(entry)
        return entry

    def _collect(self, results: Scope) -> None:
        specs = self._spec.get("results", [])
        with _failing("TaskRunValidationFailed", USER):
            raw_results(specs, self._results, limit=self._around.result_limit)
            found = typed(specs, self._told)
        with _failing("Failed"):
            own = provenance.parsed(provenance.raw_artifacts(self._pod.folder))
        for spec in specs:
            if "value" in spec:
                value = results.apply(spec["value"])
                if value != spec["value"]:
                    found[spec["name"]] = value
        if found:
            self._status["results"] = [record.result(name, found[name]) for name in found]
        artifacts = provenance.merged(self._artifacts, own)
        if artifacts:
            self._status["artifacts"] = artifacts


@contextmanager
def _failing(reason: str, who: str = "") -> Iterator[None]:
    """End the attempt for `reason` where what a step left is wrong."""
    try:
        yield
    except ManifestError as error:
        raise AttemptEndedError(reason, f"{who}{error}") from None


def _step_failed(name: str, code: int, *, later_steps: bool = False) -> AttemptEndedError:
    message = f'"step-{name}" exited with code {code}: Error'
    return AttemptEndedError("StepFailed", message, later_steps=later_steps)


def _go_code(code: int) -> int:
    """An exit code as Go's ExitCode tells it: -1 for any signal."""
    return max(code, -1)


def _told(
    ended: process.Exit, *, ignored: bool, refused: AttemptEndedError | None
) -> tuple[int, str, str]:
    """A step's exit code, reason and terminationReason, as Tekton's entrypoint leads to them."""
    if refused is not None and refused.reason == "StepFailed":
        return 1, "Error", "Error"
    if ended.ending == "timeout":
        return 1, "Error", "TimeoutExceeded"
    if ended.code == 0:
        return 0, "Completed", "Completed"
    if ignored:
        return _go_code(ended.code), "Completed", "Continued"
    return (ended.code if ended.code > 0 else 255), "Error", "Error"
