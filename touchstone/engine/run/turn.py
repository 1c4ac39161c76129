"""May this TaskRun run now, or need it not run at all? The machine's slots, and the cache."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.engine.language.durations import go_text
from touchstone.engine.pod.notices import Message, Notice, TaskFinished
from touchstone.engine.pod.process import Halt
from touchstone.engine.pod.workspaces import Folders
from touchstone.engine.run.inputs import CACHE, STORE, UncacheableError, folder_of, key_of
from touchstone.engine.run.task_run import PlannedTaskRun, StoppedError, uid
from touchstone.engine.text.catalog import Catalog
from touchstone.errors import ManifestError, PlatformError
from touchstone.runs import faults, record
from touchstone.runs.lookup import NO_CACHE, UNQUEUED
from touchstone.runs.record import Json
from touchstone.runs.store import Cached, State
from touchstone.runs.tree import CACHED_FROM


@dataclass
class _Turn:
    taken: Json | None = None
    ended: Callable[[Json], None] = field(default=lambda status: None)


class Turns:
    """Gives the TaskRuns of one run their turns; safe for several threads."""

    def __init__(
        self,
        state: State,
        folders: Folders,
        catalog: Catalog,
        *,
        slots: threading.Semaphore,
        notify: Callable[[Notice], None],
        save: Callable[[str, Json], None],
        add: Callable[[Json], None],
    ) -> None:
        self._state, self._folders, self._catalog = state, folders, catalog
        self._notify, self._save, self._add = notify, save, add
        run = state.run(folders.run)
        self._manifest: Mapping[str, Any] = run.manifest if run else {}
        annotations = self._manifest.get("metadata", {}).get("annotations") or {}
        self._reads = annotations.get(NO_CACHE) != "true"
        self._slots = threading.Semaphore() if annotations.get(UNQUEUED) == "true" else slots

    @contextmanager
    def take(self, planned: PlannedTaskRun, halt: Halt) -> Iterator[_Turn]:
        """Wait for a slot, then let the TaskRun run, or hand out what is known of it already.

        Raises StoppedError where the engine is told to stop meanwhile.
        """
        while not self._slots.acquire(timeout=0.1):
            if halt.cause == "stop":
                raise StoppedError
            if halt.cause:  # it is cancelled at once, for which no slot is needed
                yield self._turn(planned)
                return
        try:
            yield self._turn(planned)
        finally:
            self._slots.release()

    def _turn(self, planned: PlannedTaskRun) -> _Turn:
        annotations = self._annotations(planned)
        if annotations.get(CACHE, "off") == "off":
            self._add(self._object(planned))
            return _Turn()
        try:
            key = self._key(planned, annotations)
        except UncacheableError as reason:
            self._say(f"{planned.task}: not cached: {reason}")
        except (ManifestError, OSError):
            pass  # the TaskRun itself says so, in its own words
        else:
            entry = self._state.cached(key) if self._reads else None
            if entry is not None and self._is_whole(planned, annotations, entry):
                return _Turn(taken=self._taken(planned, key, entry))
            self._add(self._object(planned))
            return _Turn(ended=lambda status: self._remember(planned, annotations, key, status))
        self._add(self._object(planned))
        return _Turn()

    def _key(self, planned: PlannedTaskRun, annotations: Mapping[str, str]) -> str:
        if annotations[CACHE] != "results":
            raise UncacheableError(f"got {CACHE}: {annotations[CACHE]!r}, expected results or off")
        return key_of(planned, annotations, self._folders)

    def _annotations(self, planned: PlannedTaskRun) -> Mapping[str, str]:
        """Those of the Task whose spec this is, or of the embedded taskSpec."""
        found: Mapping[str, str] = planned.spec.get("metadata", {}).get("annotations") or {}
        document = self._catalog.find("Task", planned.task_name)
        if document is not None and document.body["spec"] == planned.spec:
            found = document.body["metadata"].get("annotations") or {}
        return found

    def _store(self, planned: PlannedTaskRun, annotations: Mapping[str, str]) -> Store | None:
        name = annotations.get(STORE, "")
        binding = planned.bindings.get(name)
        return Store(folder_of(name, planned, self._folders)) if binding else None

    def _is_whole(
        self, planned: PlannedTaskRun, annotations: Mapping[str, str], entry: Cached
    ) -> bool:
        """Whether every artifact that the results led to is still there."""
        store = self._store(planned, annotations)
        return all(store is not None and digest in store for digest in entry.blobs)

    def _remember(
        self, planned: PlannedTaskRun, annotations: Mapping[str, str], key: str, status: Json
    ) -> None:
        codes = [step.get("terminated", {}).get("exitCode", 1) for step in status.get("steps", [])]
        if not record.succeeded(status) or any(codes) or not status.get("results"):
            return
        try:
            # What it read may have been changed under it: then nobody knows what it saw.
            if key_of(planned, annotations, self._folders) != key:
                return
        except (UncacheableError, ManifestError, OSError):
            return
        store = self._store(planned, annotations)
        named = json.dumps(status["results"]).encode()
        try:
            blobs = sorted(store.reach([named])) if store else []
        except PlatformError as error:
            self._say(f"{planned.task}: not cached: {error}")
            return
        entry = Cached(
            run=self._folders.run,
            taskrun=planned.taskrun,
            results=status["results"],
            blobs=blobs,
        )
        try:
            self._state.cache(key, entry)
        except sqlite3.Error as error:
            self._say(f"{planned.task}: not cached: {faults.words(error)}")

    def _taken(self, planned: PlannedTaskRun, key: str, entry: Cached) -> Json:
        source = f"{entry.run}/{entry.taskrun}"
        self._add(self._object(planned, {CACHED_FROM: source}))
        status: Json = {
            "startTime": record.now(),
            "completionTime": record.now(),
            "podName": "",
            "taskSpec": dict(planned.spec),
            "steps": [],
            "results": list(entry.results),
            "provenance": {
                "touchstoneCache": {"key": key, "run": entry.run, "taskRun": entry.taskrun}
            },
            "conditions": [
                record.condition("True", "Succeeded", "All Steps have completed executing")
            ],
        }
        self._save(planned.taskrun, status)
        self._say(f"{planned.task}: results of {source}, from the cache")
        self._notify(
            TaskFinished(
                run=self._folders.run,
                task=planned.task,
                taskrun=planned.taskrun,
                succeeded=True,
                reason="Succeeded",
                message="All Steps have completed executing",
                seconds=0.0,
            )
        )
        return status

    def _say(self, text: str) -> None:
        self._notify(Message(run=self._folders.run, text=text))

    def _object(
        self, planned: PlannedTaskRun, annotations: Mapping[str, str] | None = None
    ) -> Json:
        """The TaskRun object that Tekton would have created."""
        run = self._folders.run
        if self._manifest.get("kind") == "TaskRun":
            metadata = dict(self._manifest["metadata"])
            metadata["annotations"] = {**metadata.get("annotations", {}), **(annotations or {})}
            return {**self._manifest, "metadata": metadata}
        known = self._catalog.find("Task", planned.task_name)
        referred = known is not None and known.body["spec"] == planned.spec
        spec: Json = {
            "params": [{"name": key, "value": value} for key, value in planned.params.items()],
            "workspaces": list(planned.bindings.values()),
            "timeout": go_text(planned.timeout),
            "retries": planned.retries,
        }
        if referred:
            spec["taskRef"] = {"kind": "Task", "name": planned.task_name}
        else:
            spec["taskSpec"] = dict(planned.spec)
        return {
            "apiVersion": "tekton.dev/v1",
            "kind": "TaskRun",
            "metadata": {
                "name": planned.taskrun,
                "namespace": "default",
                "uid": uid(run, planned.taskrun),
                "labels": dict(planned.metadata.labels),
                "annotations": {**planned.metadata.annotations, **(annotations or {})},
            },
            "spec": spec,
        }
