"""The embedded Tekton engine: runs PipelineRuns and TaskRuns as processes of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from touchstone.engine import durations, literals, process, record, taskrun
from touchstone.engine.catalog import Catalog
from touchstone.engine.load import Document
from touchstone.engine.lock import only_engine
from touchstone.engine.notices import Message, Notice, RunFinished
from touchstone.engine.pipelinerun import PipelineExecution, Plan
from touchstone.engine.process import Guard, Halt
from touchstone.engine.record import Json
from touchstone.engine.taskrun import Order, StoppedError, Surroundings
from touchstone.engine.turn import Turns
from touchstone.engine.validate import validate
from touchstone.engine.values import as_value
from touchstone.engine.workspaces import Folders
from touchstone.errors import ManifestError, UsageError
from touchstone.state import Run, State


class Engine:
    """Executes stored runs; several threads may execute different runs at once.

    `definitions` are files or folders with the Tasks and Pipelines that runs may refer to;
    `parallel` is how many TaskRuns go at the same time, those of all its runs together.
    """

    def __init__(
        self,
        state: State,
        home: Path,
        *,
        definitions: Sequence[Path],
        parallel: int = 2,
        observer: Callable[[Notice], None] | None = None,
    ) -> None:
        self._state = state
        self._home = home.resolve()
        self._catalog = Catalog(definitions)
        self._parallel = max(1, parallel)
        self._observer = observer
        self._slots = threading.Semaphore(self._parallel)
        self._lock = threading.Lock()
        self._halts: set[Halt] = set()
        self._stopped = False

    def check(self, manifest: Mapping[str, Any]) -> None:
        """Refuse a run that cannot be executed, before it is stored. Raises ManifestError."""
        self._checked(manifest)

    def execute(self, run_name: str) -> Json:
        """Run, or go on with, the stored run of that name; its status afterwards.

        A run whose manifests are wrong ends as Failed with what is wrong in its message. After
        stop() the status returned is one without completionTime, and a later call goes on from it:
        TaskRuns that finished are kept, the others run again as the same attempt. The clock of
        the run's time limits starts anew then. Raises UsageError for a name nobody stored and
        PlatformError while another engine executes the run.
        """
        stored = self._state.run(run_name)
        if stored is None:
            raise UsageError(f"got the run {run_name!r}, expected one that was created before")
        if stored.done:
            return dict(stored.status)
        with only_engine(Folders(self._home, run_name)):
            return self._execute(stored)

    def _execute(self, stored: Run) -> Json:
        run_name = stored.name
        process.sweep(run_name, self._home)
        try:
            plan = self._checked(stored.manifest)
            self._say_what_differs(run_name, plan)
            guard = Guard()
            try:
                status = self._run(plan, run_name, dict(stored.status), guard)
            finally:
                guard.close()
        except ManifestError as error:
            status = self._fail(run_name, dict(stored.status), error)
        except StoppedError:
            run = self._state.run(run_name)
            return dict(run.status) if run else {}
        condition = record.succeeded_condition(status)
        self._notify(
            RunFinished(
                run=run_name,
                succeeded=condition["status"] == "True",
                reason=condition["reason"],
                message=condition["message"],
            )
        )
        return status

    def stop(self) -> None:
        """End all running steps and let execute() return; unfinished TaskRuns stay resumable."""
        with self._lock:
            self._stopped = True
            for halt in self._halts:
                halt.set("stop")

    def _run(self, plan: Plan | Order, name: str, status: Json, guard: Guard) -> Json:
        folders = Folders(self._home, name)
        _make_bin(folders.root / "bin")
        around = Surroundings(
            folders=folders,
            guard=guard,
            notify=self._notify,
            save=lambda child, document: self._state.save_taskrun(name, child, document),
            turn=Turns(
                self._state, folders, self._catalog, slots=self._slots, notify=self._notify
            ).take,
        )
        if isinstance(plan, Order):
            return self._run_task(plan, name, around)
        execution = PipelineExecution(
            plan,
            status=status,
            taskruns=self._state.taskruns(name),
            around=around,
            save=lambda document, done: self._state.save_run(name, document, done=done),
        )
        self._register(*execution.halts)
        try:
            return execution.run()
        finally:
            self._unregister(*execution.halts)

    def _run_task(self, order: Order, name: str, around: Surroundings) -> Json:
        halt = Halt()
        self._register(halt)
        try:
            status = taskrun.run(order, self._state.taskruns(name).get(name), around, halt)
        finally:
            halt.set("stop")
            self._unregister(halt)
        self._state.save_run(name, status, done=True)
        return status

    def _register(self, *halts: Halt) -> None:
        with self._lock:
            self._halts.update(halts)
            if self._stopped:
                for halt in halts:
                    halt.set("stop")

    def _unregister(self, *halts: Halt) -> None:
        with self._lock:
            self._halts.difference_update(halts)

    def _fail(self, name: str, status: Json, error: ManifestError) -> Json:
        status.setdefault("startTime", record.now())
        status["completionTime"] = record.now()
        text = f"{error} ({error.hint})" if error.hint else str(error)
        status["conditions"] = [record.condition("False", "ValidationFailed", text)]
        self._state.save_run(name, status, done=True)
        return status

    def _notify(self, notice: Notice) -> None:
        if self._observer is not None:
            with self._lock:
                self._observer(notice)

    def _say_what_differs(self, run: str, plan: Plan | Order) -> None:
        specs = [plan.spec]
        if isinstance(plan, Plan):
            specs = [
                task.get("taskSpec") or plan.task_specs[task["taskRef"]["name"]]
                for task in (*plan.spec["tasks"], *plan.spec.get("finally", []))
            ]
        for text in literals.remarks(specs):
            self._notify(Message(run=run, text=text))

    # What a run refers to

    def _checked(self, manifest: Mapping[str, Any]) -> Plan | Order:
        name = str(manifest.get("metadata", {}).get("name", ""))
        run = Document(body=manifest, source=name or "run")
        if run.kind not in {"PipelineRun", "TaskRun"}:
            raise run.error(f"got {run.kind!r}, expected PipelineRun or TaskRun", ("kind",))
        used = self._catalog.needed_by(run)
        validate([run, *used.values()])
        if run.kind == "PipelineRun":
            return self._plan(run, used)
        spec = manifest["spec"]
        embedded = spec.get("taskSpec")
        task_name = name if embedded is not None else spec["taskRef"]["name"]
        return Order(
            task=name,
            task_name=task_name,
            taskrun=name,
            spec=embedded if embedded is not None else used["Task", task_name].body["spec"],
            params={item["name"]: as_value(item["value"]) for item in spec.get("params", [])},
            bindings={item["name"]: item for item in spec.get("workspaces", [])},
            timeout=durations.seconds(spec["timeout"])
            if "timeout" in spec
            else taskrun.DEFAULT_TIMEOUT,
            retries=spec.get("retries", 0),
        )

    def _plan(self, run: Document, used: Mapping[tuple[str, str], Document]) -> Plan:
        spec = run.body["spec"]
        reference = spec.get("pipelineRef", {}).get("name", "")
        return Plan(
            name=run.name,
            manifest=run.body,
            pipeline=reference or run.name,
            spec=used["Pipeline", reference].body["spec"] if reference else spec["pipelineSpec"],
            task_specs={
                name: document.body["spec"]
                for (kind, name), document in used.items()
                if kind == "Task"
            },
            parallel=self._parallel,
        )


def _make_bin(folder: Path) -> None:
    """A folder that goes first on a step's PATH, so that a bare `sh` is never dash."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "sh").symlink_to(process.shell()[0])
