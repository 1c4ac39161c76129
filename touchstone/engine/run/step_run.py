"""How does one step's process go, from what it needs to its end or a person's answer?"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from touchstone.beneath import NotPlainError
from touchstone.engine.language import durations
from touchstone.engine.language.substitute import Scope
from touchstone.engine.plan.task_run import PlannedTaskRun, Surroundings
from touchstone.engine.pod import credentials, process, steps
from touchstone.engine.pod.breakpoints import Waiting
from touchstone.engine.pod.notices import StepStarted, StepWaiting
from touchstone.engine.pod.pod import Container, Pod
from touchstone.engine.pod.process import Call, Exit, Halt
from touchstone.engine.pod.steps import Left, StartError
from touchstone.engine.pod.streams import Streams
from touchstone.runs import faults, record
from touchstone.runs.record import Json


class StepRunner:
    """Runs the steps of one attempt in its pod; `status` is the TaskRun's."""

    def __init__(
        self,
        planned: PlannedTaskRun,
        around: Surroundings,
        pod: Pod,
        status: Json,
        *,
        deadline: float | None,
        halt: Halt,
    ) -> None:
        self._task_run, self._around, self._pod, self._status = planned, around, pod, status
        self._deadline, self._halt = deadline, halt
        self.template: Json = {}
        """The Pod's template, its references replaced; set before anything starts."""

        self._logs = around.folders.logs(planned.taskrun)
        self.breakpoints = planned.breakpoints | around.breakpoints

    def run(self, name: str, step: Container, scope: Scope, left: Left) -> Exit:
        """Run a step's process, waiting at breakpoints before and after; how it ended.

        `scope` is what its fields may refer to, besides what the steps before it have `left`.
        """
        log = self._logs / f"{name}.log"
        folders = self._around.folders
        self._around.notify(
            StepStarted(run=folders.run, task=self._task_run.task, step=name, log=log)
        )
        try:
            call = self.prepare(step, name, scope, left=left)
        except StartError as error:
            return self._not_started(name, error)
        if name in self.breakpoints.before:
            answer = self._wait(name, call, before=True)
            if answer.code or answer.ending != "exited":
                return answer
        deadline = self._deadline
        if step.get("timeout"):
            own = time.monotonic() + durations.seconds(scope.text(step["timeout"]))
            deadline = own if deadline is None else min(own, deadline)
        try:
            ended = process.run(
                call,
                streams=self._streams(step, call, scope, log),
                deadline=deadline,
                halt=self._halt,
                guard=self._around.guard,
            )
        except (OSError, NotPlainError) as error:
            if faults.passing(error):
                raise
            ended = self._not_started(name, error)
        if ended.code < 0 and ended.ending == "exited":
            self.say(name, f"it was ended by {signal.Signals(-ended.code).name}")
        if self.breakpoints.on_failure and ended.code and ended.ending == "exited":
            return self._wait(name, call, before=False)
        return ended

    def _not_started(self, name: str, error: Exception) -> Exit:
        self.say(name, f"it could not start: {error}")
        return Exit(1, "exited", started=False)

    def say(self, name: str, text: str) -> None:
        """Write a sentence about a step into its log."""
        _append(self._logs / f"{name}.log", f"touchstone: step {name}: {text}\n")

    def _wait(self, name: str, call: Call, *, before: bool) -> Exit:
        """Wait for a person's answer, meanwhile the step counts as running."""
        pod, run = self._pod, self._around.folders.run
        waiting = Waiting(
            task=self._task_run.task,
            step=name,
            index=pod.index(name),
            before=before,
            folder=pod.folder,
            scripts=pod.path("debug/scripts"),
            call=call,
        )
        _append(self._logs / f"{name}.log", waiting.words)
        state = {"running": {"startedAt": record.now()}}
        self._status["steps"].append({"name": name, "container": f"step-{name}", **state})
        self._around.save(self._task_run.taskrun, self._status)
        try:
            with waiting.announced():
                self._around.notify(StepWaiting(run=run, waiting=waiting))
                return waiting.wait(self._deadline, self._halt)
        finally:
            self._status["steps"].pop()

    def prepare(
        self,
        container: Container,
        name: str,
        scope: Scope,
        *,
        left: Left | None = None,
        sidecar: bool = False,
    ) -> Call:
        """A container's process; a step's credentials are written where it sees them.

        Raises as `steps.prepare` does.
        """
        pod, planned = self._pod, self._task_run
        call = steps.prepare(
            container,
            name,
            scope=scope,
            left=left,
            pod=pod,
            defaults=self.template,
            sidecar=sidecar,
        )
        files = credentials.files_of(planned.account, pod.folders.objects, pod.path("creds"))
        for seen in dict.fromkeys((pod.path("creds"), call.environment["HOME"])) if files else ():
            place = pod.host_path(seen, call.mounts)
            if place is not None and not sidecar:
                try:
                    credentials.place(files, place, call.user)
                except NotPlainError as error:
                    raise StartError(f"its credentials cannot be written: {error}") from None
        return call

    def _streams(self, step: Container, call: Call, scope: Scope, log: Path) -> Streams:
        """Where the step's output goes; what ends with its process is copied nowhere."""
        files = [
            self._pod.host_path(scope.text(step[field]["path"]), call.mounts)
            if step.get(field, {}).get("path")
            else None
            for field in ("stdoutConfig", "stderrConfig")
        ]
        return Streams(log, stdout=files[0], stderr=files[1])


def _append(log: Path, text: str) -> None:
    log.touch(mode=0o600)
    with log.open("a", encoding="utf-8") as file:
        file.write(text)
