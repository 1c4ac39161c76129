"""The embedded Tekton engine: runs PipelineRuns and TaskRuns as processes of this machine."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.documents.yaml import Document
from touchstone.engine.plan.manifests import embedded_specs, planned_pipeline_run, planned_task_run
from touchstone.engine.plan.pipeline_run import PlannedPipelineRun
from touchstone.engine.plan.references import References
from touchstone.engine.plan.refusals import refusal
from touchstone.engine.plan.task_run import PlannedTaskRun, StoppedError, Surroundings
from touchstone.engine.pod import literals, process
from touchstone.engine.pod.breakpoints import Breakpoints
from touchstone.engine.pod.notices import Message, Notice, RunFinished
from touchstone.engine.pod.process import Guard, Halt, Warm
from touchstone.engine.pod.steps import inherited
from touchstone.engine.pod.workspaces import Folders
from touchstone.engine.rules import is_shaped, validate
from touchstone.engine.run import task_run
from touchstone.engine.run.pipeline_run import TICK, PipelineExecution, Setting
from touchstone.engine.run.pipeline_status import broken_off, rejected
from touchstone.engine.run.turn import Turns
from touchstone.engine.text.catalog import Catalog
from touchstone.engine.text.decode import decoded
from touchstone.errors import ManifestError, UsageError
from touchstone.runs import faults, record
from touchstone.runs.lock import only_engine
from touchstone.runs.memory import Run
from touchstone.runs.queue import PENDING
from touchstone.runs.record import RESULT_LIMIT, Json
from touchstone.runs.store import State

_log = logging.getLogger(__name__)


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
        result_limit: int = RESULT_LIMIT,
    ) -> None:
        self._state = state
        self._home = home.resolve()
        self._catalog = Catalog(definitions)
        self._parallel = max(1, parallel)
        self._observer = observer
        self._result_limit = result_limit
        self._warm: Warm | None = None
        self._slots = threading.Semaphore(self._parallel)
        self._lock = threading.Lock()
        self._halts: set[Halt] = set()
        self._stopping = threading.Event()

    def check(self, manifest: Mapping[str, Any]) -> None:
        """Refuse a run that cannot be executed, before it is stored. Raises ManifestError."""
        run = Document(body=decoded(manifest), source="run")
        run = replace(run, source=run.name or "run")
        _checked(run, self._references(run.name))

    def execute(self, run_name: str) -> Json:
        """Run, or go on with, the stored run of that name; its status afterwards.

        A run whose manifests are wrong ends as Failed with what is wrong in its message. After
        stop() the status returned is one without completionTime, and a later call goes on from it:
        TaskRuns that finished are kept, the others run again as the same attempt. The clock of
        the run's time limits starts anew then. A run that is pending is left as it is until its
        spec.status says otherwise.

        What the machine lacks for a while (processes, descriptors, room on a disk) stops the run
        resumable, with a status that says so, and is raised: call again later. A status that cannot
        be written yet is written later, and costs no step. Whatever else breaks ends the run, or
        the TaskRun it broke in, as Failed with the reason InternalError.

        Raises:
            UsageError: nobody stored a run of that name.
            PlatformError: another engine executes the run.
            Exception: the machine lacks something (touchstone.runs.faults.passing).
        """
        stored = self._state.run(run_name)
        if stored is None:
            raise UsageError(f"got the run {run_name!r}, expected one that was created before")
        if stored.done:
            return dict(stored.status)
        if stored.manifest["spec"].get("status") in PENDING:
            return self._pend(stored)
        with only_engine(self._home, run_name):
            try:
                return self._execute(stored)
            except Exception as error:
                if faults.passing(error):
                    self._say_what_lacks(run_name, error)
                    raise
                _log.exception("the run %s broke", run_name)
                return self._break_off(run_name, faults.words(error))

    def give_up(self, run_name: str, why: str) -> None:
        """End a stored run as Failed with the reason InternalError. Raises as `execute` does."""
        with only_engine(self._home, run_name):
            process.sweep(run_name, self._home)
            self._break_off(run_name, why)

    def _break_off(self, run_name: str, why: str) -> Json:
        """The final status of a run that broke; what of it had not ended ends with it."""
        now = self._state.run(run_name)
        status = dict(now.status) if now else {}
        if now is None or now.done:
            return status
        for name, child in self._state.taskruns(run_name).items():
            if not record.finished(child):
                ended = broken_off(child, f'"{name}" was ended: its run broke: {why}')
                self._state.save_taskrun(run_name, name, ended)
        status = broken_off(status, why)
        self._state.save_run(run_name, status, done=True)
        self._tell_end(run_name, status)
        return status

    def _say_what_lacks(self, run_name: str, error: Exception) -> None:
        with suppress(Exception):  # where the state itself is what lacks, nothing can be written
            now = self._state.run(run_name)
            if now is not None and not now.done:
                text = f"It goes on once the machine can: {faults.words(error)}"
                said = {**now.status, "conditions": [record.condition("Unknown", "Running", text)]}
                self._state.save_run(run_name, said, done=False)

    def _patiently(self, write: Callable[[], None]) -> None:
        """Do `write`, again and again while the state is locked or its disk full.

        Raises StoppedError where the engine is told to stop meanwhile.
        """
        failures = 0
        while True:
            try:
                write()
                return
            except Exception as error:
                if not faults.passing(error):
                    raise
                failures += 1
                _log.warning("%s; the status is written later", faults.words(error))
            if self._stopping.wait(faults.wait_after(failures)):
                raise StoppedError

    def _spec_status(self, run_name: str) -> str:
        try:
            return self._state.spec_status(run_name)
        except sqlite3.Error as error:
            if not faults.passing(error):
                raise
            return ""  # asked again soon

    def _pend(self, stored: Run) -> Json:
        kind = stored.manifest["kind"]
        text = f'{kind} "{stored.name}" is pending'
        status = {"conditions": [record.condition("Unknown", f"{kind}Pending", text)]}
        if record.written_condition(stored.status) is None:
            self._state.save_run(stored.name, status, done=False)
        return status

    def _execute(self, stored: Run) -> Json:
        run_name = stored.name
        process.sweep(run_name, self._home)
        run = Document(body=decoded(stored.manifest), source=run_name)
        references = self._references(run_name)
        try:
            checked = _checked(run, references)
            guard = Guard(self._warm)
            try:
                self._say_what_differs(run_name, checked.specs, guard.without_namespaces())
                status = self._run(checked.plan, references, stored, guard)
            finally:
                guard.close()
        except ManifestError as error:
            status = rejected(dict(stored.status), refusal(run, references, error))
            self._state.save_run(run_name, status, done=True)
        except StoppedError:
            now = self._state.run(run_name)
            return dict(now.status) if now else {}
        self._tell_end(run_name, status)
        return status

    def _tell_end(self, run_name: str, status: Json) -> None:
        condition = record.succeeded_condition(status)
        self._notify(
            RunFinished(
                run=run_name,
                succeeded=condition["status"] == "True",
                reason=condition["reason"],
                message=condition["message"],
            )
        )

    def warm_up(self) -> None:
        """Begin to import what the pipeline's stages import, which then start as forks."""
        if self._warm is None:
            self._warm = Warm(inherited())

    def close(self) -> None:
        """End what `warm_up` began; no run may go on."""
        if self._warm is not None:
            self._warm.close()

    def stop(self) -> None:
        """End all running steps and let execute() return; unfinished TaskRuns stay resumable."""
        with self._lock:
            self._stopping.set()
            for halt in self._halts:
                halt.set("stop")

    def _run(
        self,
        plan: PlannedPipelineRun | PlannedTaskRun,
        references: References,
        stored: Run,
        guard: Guard,
    ) -> Json:
        name = stored.name
        folders = Folders(self._home, name, self._catalog.objects())
        _make_bin(folders.root / "bin")

        def save(child: str, document: Json) -> None:
            self._patiently(lambda: self._state.save_taskrun(name, child, document))

        def add(manifest: Json) -> None:
            self._patiently(lambda: self._state.add_taskrun(name, manifest))

        def save_run(document: Json, done: bool) -> None:
            self._patiently(lambda: self._state.save_run(name, document, done=done))

        around = Surroundings(
            folders=folders,
            guard=guard,
            notify=self._notify,
            save=save,
            references=references,
            result_limit=self._result_limit,
            breakpoints=Breakpoints.annotated(stored.manifest),
            turn=Turns(
                self._state,
                folders,
                self._catalog,
                slots=self._slots,
                notify=self._notify,
                save=save,
                add=add,
            ).take,
        )
        if isinstance(plan, PlannedTaskRun):
            return self._run_task(plan, name, around, save_run)
        with ThreadPoolExecutor(self._parallel, thread_name_prefix=name) as pool:
            setting = Setting(
                around=around,
                pool=pool,
                save=save_run,
                stored=lambda: self._state.taskruns(name),
                spec_status=lambda: self._spec_status(name),
            )
            execution = PipelineExecution(plan, status=dict(stored.status), setting=setting)
            self._register(*execution.halts)
            try:
                return execution.run()
            finally:
                self._unregister(*execution.halts)

    def _run_task(
        self,
        planned: PlannedTaskRun,
        name: str,
        around: Surroundings,
        save_run: Callable[[Json, bool], None],
    ) -> Json:
        halt, over = Halt(), threading.Event()
        self._register(halt)
        watch = threading.Thread(target=self._watch_task, args=(name, halt, over), daemon=True)
        watch.start()
        try:
            status = task_run.run(planned, self._state.taskruns(name).get(name), around, halt)
        finally:
            over.set()
            halt.set("stop")
            self._unregister(halt)
            watch.join()
        save_run(status, True)
        return status

    def _watch_task(self, name: str, halt: Halt, over: threading.Event) -> None:
        """Halt a TaskRun once its spec.status asks for it."""
        while not over.wait(TICK):
            if self._spec_status(name) == "TaskRunCancelled":
                halt.set("Its spec.status is TaskRunCancelled.")
                return

    def _register(self, *halts: Halt) -> None:
        with self._lock:
            self._halts.update(halts)
            if self._stopping.is_set():
                for halt in halts:
                    halt.set("stop")

    def _unregister(self, *halts: Halt) -> None:
        with self._lock:
            self._halts.difference_update(halts)

    def _notify(self, notice: Notice) -> None:
        if self._observer is not None:
            # Who watched may have closed the pipe: that is no fault of the run.
            with self._lock, suppress(OSError):
                self._observer(notice)

    def _say_what_differs(
        self, run: str, definitions: Sequence[Mapping[str, Any]], without_namespaces: str
    ) -> None:
        for text in literals.remarks(definitions, without_namespaces):
            self._notify(Message(run=run, text=text))

    def _references(self, run: str) -> References:
        keep = Folders(self._home, run).root / "resolved" if run else None
        return References(self._catalog, keep)


@dataclass(frozen=True)
class _Checked:
    """A run found to be right."""

    plan: PlannedPipelineRun | PlannedTaskRun
    specs: Sequence[Mapping[str, Any]]
    """Specs of all its Tasks, as far as they are known before it runs."""


def _checked(run: Document, references: References) -> _Checked:
    if run.kind not in {"PipelineRun", "TaskRun"}:
        raise run.error(f"got {run.kind!r}, expected PipelineRun or TaskRun", ("kind",))
    if not is_shaped(run):
        validate([run])  # what it refers to is looked up next
    used = references.needed_by(run)
    validate([run, *(item.document for item in used if item.source is None)])
    specs = [
        *embedded_specs(run.body["spec"]),
        *(definition.spec for definition in used if definition.document.kind == "Task"),
        *(
            spec
            for definition in used
            if definition.document.kind == "Pipeline"
            for spec in embedded_specs({"pipelineSpec": definition.spec})
        ),
    ]
    plan = (
        planned_pipeline_run(run, references)
        if run.kind == "PipelineRun"
        else planned_task_run(run, references)
    )
    return _Checked(plan, specs)


def _make_bin(folder: Path) -> None:
    """A folder that goes first on a step's PATH, so that a bare `sh` is never dash."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sh", "ash"):
        with suppress(FileExistsError):
            (folder / name).symlink_to(process.shell()[0])
