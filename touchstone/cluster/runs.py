"""The runs of a cluster's namespace as commands see them: the API's, and what a recorder kept.

What is shown of a run is shown by the code that shows embedded runs: this answers what it asks of a
state, and brings the logs into a folder laid out as an embedded platform's.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from touchstone.artifacts.store import Store, open_store
from touchstone.cluster import records, watching
from touchstone.cluster.connect import PIPELINE_RUNS, TASK_RUNS, ApiError, Cluster, Json, Kind
from touchstone.cluster.forwarded import Forwarded, recorder_pod
from touchstone.cluster.podlogs import PodLogs
from touchstone.cluster.records import PIPELINE_RUN, Record, Records
from touchstone.errors import PlatformError, UsageError
from touchstone.runs import record
from touchstone.runs.lookup import Found, Kept, pick
from touchstone.runs.memory import Run

STORE = "TOUCHSTONE_STORE"
"""Names the store itself, for who has its keys, in place of a way through the recorder."""

_AT_ONCE = 8
_ENDING = 20.0
"""Seconds that what a run printed may take to come once it has ended."""

_LAST_LINES = 5.0
"""Seconds that a TaskRun is shown as it was before its end, until its last lines are here."""

_PATIENCE = 120.0
"""Seconds that the API may be out of reach while a run is followed."""


@dataclass(frozen=True, slots=True)
class ClusterPlace(Kept):
    """Runs of a namespace; `root` is a folder of this process's for their logs."""

    state: ClusterRuns

    @property
    def title(self) -> str:
        """See `Kept`."""
        return str(self.state.cluster)

    @property
    def store(self) -> Store:
        """See `Kept`."""
        return self.state.store

    def executes(self, run: Run) -> bool:
        """Whether the controller has taken it up."""
        return record.written_condition(run.status) is not None


class ClusterRuns:
    """A `touchstone.runs.memory.Memory`; what was asked of a run is asked once, or followed.

    Args:
        folder: gets the logs that are brought.
        environment: may name the store.
    """

    def __init__(self, cluster: Cluster, folder: Path, environment: Mapping[str, str]) -> None:
        self.cluster, self._folder, self._environment = cluster, folder, environment
        self._children: dict[str, dict[str, Json]] = {}
        self._followed: dict[str, _Followed] = {}
        self._listed: dict[str, Run] = {}

    @cached_property
    def _records(self) -> Records | None:
        """None where there is neither a store nor a recorder."""
        if uri := self._environment.get(STORE):
            return Records(open_store(uri))
        pod = recorder_pod(self.cluster)
        return Records(Store(Forwarded(self.cluster, pod))) if pod else None

    @property
    def store(self) -> Store:
        """The artifact store, to read from. Raises PlatformError where there is no way to it."""
        if self._records is None:
            raise PlatformError(
                f"got no recorder in {self.cluster}, expected a Pod touchstone-recorder that runs",
                hint=f"it leads to the store; or {STORE}=URI where this machine reaches it",
            )
        return self._records.store

    @cached_property
    def missing(self) -> str:
        """Why what was kept cannot be read; empty where it can."""
        try:
            return "" if self._records is not None else "there is no recorder"
        except PlatformError as error:
            return str(error)

    def runs(self) -> list[Run]:
        """See `Memory`."""
        found = {name: _run(item) for name, item in self._recorded().items()}
        alone, _ = self.cluster.items(TASK_RUNS, labels=f"!{PIPELINE_RUN}")
        whole, _ = self.cluster.items(PIPELINE_RUNS)
        for items, kind in ((alone, "TaskRun"), (whole, "PipelineRun")):
            for item in items:
                found[item["metadata"]["name"]] = _run(records.slim(item, kind))
        self._listed = found
        return sorted(found.values(), key=lambda run: run.created)

    def run(self, name: str) -> Run | None:
        """See `Memory`."""
        if name in self._followed:
            return self._followed[name].run()
        for kind, word in ((PIPELINE_RUNS, "PipelineRun"), (TASK_RUNS, "TaskRun")):
            item = self.cluster.get(kind, name)
            if item is not None:
                return _run(records.slim(item, word))
        kept = self._kept(name)
        return _run(kept.run) if kept else None

    def taskruns(self, run: str) -> dict[str, dict[str, Any]]:
        """See `Memory`."""
        return {name: item.get("status") or {} for name, item in self.children(run).items()}

    def taskrun_manifests(self, run: str) -> dict[str, dict[str, Any]]:
        """See `Memory`."""
        return self.children(run)

    def cached_of(self, run: str) -> tuple[int, int]:
        """See `Memory`; Tekton has no cache of results."""
        known = self._listed.get(run)
        return 0, len(record.tasks_of(known.status) if known else self.children(run))

    def set_spec_status(self, name: str, value: str) -> bool:
        """See `Memory`."""
        for kind in (PIPELINE_RUNS, TASK_RUNS):
            item = self.cluster.get(kind, name)
            if item is not None:
                if records.done(item):
                    return False
                self.cluster.patch(kind, name, {"spec": {"status": value or None}})
                return True
        return False

    def children(self, run: str) -> dict[str, Json]:
        """The TaskRuns of a run with their status, by name, in order of creation."""
        if run in self._followed:
            return self._followed[run].children()
        if run not in self._children:
            items, _ = self.cluster.items(TASK_RUNS, labels=f"{PIPELINE_RUN}={run}")
            if not items and (one := self.cluster.get(TASK_RUNS, run)) is not None:
                items = [one]
            found = _ordered(items)
            kept = None if found else self._kept(run)
            self._children[run] = dict(kept.task_runs) if kept else found
        return self._children[run]

    def bring(self, run: Run, *, stage: str = "", tail: int = 0) -> None:
        """Write what the steps of a run have printed into the folder, as far as there is a way.

        Args:
            stage: of this stage alone, by its name or its TaskRun's.
            tail: so many lines of each step; all for 0.
        """
        names = record.tasks_of(run.status)
        wanted = {
            name: item
            for name, item in self.children(run.name).items()
            if stage in ("", name, names.get(name, name))
        }

        def one(name: str) -> None:
            folder = self.log_folder(run.name, name)
            pod = (wanted[name].get("status") or {}).get("podName", "")
            logs = PodLogs(self.cluster, self.cluster.namespace, pod, _to(folder), tail=tail)
            there = False
            with suppress(ApiError):  # a container that has not begun has printed nothing
                there = bool(pod) and logs.read()
            if not there:
                self._bring_kept(run.name, name)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, wanted))

    def follow(self, run: Run, *, stage: str = "", tail: int = 0) -> None:
        """From now on keep what is known of the run as it is, its logs included.

        Args: as of `bring`.
        """
        self._followed[run.name] = _Followed(self, run, stage, tail)

    def log_folder(self, run: str, taskrun: str) -> Path:
        """Where the logs of a TaskRun are brought to."""
        return self._folder / run / taskrun

    def _bring_kept(self, run: str, taskrun: str) -> None:
        kept = self._kept(run)
        write = _to(self.log_folder(run, taskrun))
        for key, digest in kept.logs.items() if kept else ():
            owner, _, step = key.partition("/")
            if owner == taskrun:
                with suppress(PlatformError):
                    write(step, self.store.get_bytes(digest))

    def _kept(self, run: str) -> Record | None:
        if self.missing or self._records is None:
            return None
        return self._records.get(self.cluster.namespace, run)

    def _recorded(self) -> dict[str, Json]:
        if self.missing or self._records is None:
            return {}
        with suppress(PlatformError):
            return self._records.index(self.cluster.namespace)
        return {}


class _Followed:
    """A run that is watched, with its TaskRuns and the logs of their Pods."""

    def __init__(self, runs: ClusterRuns, run: Run, stage: str, tail: int) -> None:
        self._runs, self._first, self._stage, self._tail = runs, run, stage, tail
        self._lock = threading.Lock()
        self._item: Json | None = None
        self._children: dict[str, Json] = {}
        self._before: dict[str, Json] = {}
        self._ended: dict[str, float] = {}
        self._logs: dict[str, PodLogs] = {}
        self._stop, self._ready = threading.Event(), threading.Event()
        self._over: Run | None = None
        self._failure: ApiError | None = None
        whole = run.manifest["kind"] == "PipelineRun"
        own = (PIPELINE_RUNS if whole else TASK_RUNS, f"metadata.name={run.name}", "")
        below = (TASK_RUNS, "", f"{PIPELINE_RUN}={run.name}")
        for asked in (own, below) if whole else (own,):
            threading.Thread(target=self._watch, args=asked, daemon=True).start()

    def run(self) -> Run:
        """As it is; that it has ended is said once all that it printed is here.

        Raises:
            ApiError: the API has been out of reach for too long, or refuses.
        """
        if self._over is not None:
            return self._over
        if self._failure is not None:
            raise self._failure
        self._ready.wait(_ENDING)
        with self._lock:
            now = _run(self._item) if self._item else self._first
        if now.done:
            self._end(now)
            self._over = now
        return now

    def children(self) -> dict[str, Json]:
        """See `ClusterRuns`."""
        with self._lock:
            return _ordered(self._shown(name) for name in self._children)

    def _shown(self, name: str) -> Json:
        """The TaskRun; as it was before its end, while its last lines are on their way."""
        item, logs = self._children[name], self._logs.get(name)
        if not records.done(item) or logs is None or name not in self._before:
            return item
        ended = self._ended.setdefault(name, time.monotonic())
        late = logs.join(0) or time.monotonic() - ended > _LAST_LINES
        return item if late or self._over is not None else self._before[name]

    def _watch(self, kind: Kind, fields: str, labels: str) -> None:
        word = "PipelineRun" if kind is PIPELINE_RUNS else "TaskRun"
        try:
            for news in watching.changes(
                self._runs.cluster,
                kind,
                fields=fields,
                labels=labels,
                stop=self._stop,
                patience=_PATIENCE,
            ):
                listed = isinstance(news, watching.Listed)
                items = news.items if isinstance(news, watching.Listed) else (news.item,)
                for item in items:
                    self._see(records.slim(item, word))
                if listed and kind.plural == PIPELINE_RUNS.plural and not items:
                    self._ready.set()
        except ApiError as error:
            self._failure = error
            self._ready.set()

    def _see(self, item: Json) -> None:
        with self._lock:
            if item["metadata"]["name"] == self._first.name:
                self._item = item
                self._ready.set()
            if item["kind"] == "TaskRun":
                name = item["metadata"]["name"]
                self._children[name] = item
                if not records.done(item):
                    self._before[name] = item
                self._see_logs(item)

    def _see_logs(self, item: Json) -> None:
        name, status = item["metadata"]["name"], item.get("status") or {}
        pod, known = status.get("podName"), self._logs.get(name)
        task = (item["metadata"].get("labels") or {}).get("tekton.dev/pipelineTask", name)
        if not pod or self._stage not in ("", name, task):
            return
        folder = self._runs.log_folder(self._first.name, name)
        if known is None or known.pod != pod:
            for old in folder.glob("*.log"):
                old.unlink()  # a retry begins a new log, as embedded
            cluster = self._runs.cluster
            known = PodLogs(cluster, cluster.namespace, pod, _to(folder), tail=self._tail)
            self._logs[name] = known
            known.start()
        if records.done(item):
            known.end()

    def _end(self, run: Run) -> None:
        """Wait for the TaskRuns, of whose ends this may not have heard yet, and for their logs."""
        limit = time.monotonic() + _ENDING
        if run.manifest["kind"] == "PipelineRun":
            with suppress(ApiError):
                items, _ = self._runs.cluster.items(TASK_RUNS, labels=f"{PIPELINE_RUN}={run.name}")
                for item in items:
                    self._see(records.slim(item, "TaskRun"))
        for name, logs in list(self._logs.items()):
            logs.end()
            logs.join(max(0.0, limit - time.monotonic()))
            if logs.gone and not any(self._runs.log_folder(run.name, name).glob("*.log")):
                self._runs._bring_kept(run.name, name)
        self._stop.set()


def place(cluster: Cluster, environment: Mapping[str, str]) -> ClusterPlace:
    """The runs of the cluster's namespace; logs are brought to a folder that ends with us."""
    folder = Path(tempfile.mkdtemp(prefix="touchstone-"))
    return ClusterPlace(folder, ClusterRuns(cluster, folder / "logs", environment))


def all_runs(where: ClusterPlace) -> list[Found[ClusterPlace]]:
    """Every run, newest first."""
    return [Found(where, run) for run in reversed(where.state.runs())]


def find(where: ClusterPlace, name: str = "", *, model: str = "") -> Found[ClusterPlace]:
    """The run that is meant, as `touchstone.runs.lookup.find` finds it.

    Raises:
        UsageError: there is none.
        ApiError: the API cannot be asked.
    """
    if name and (run := _named(where, name)) is not None:
        return Found(where, run)
    known, state = all_runs(where), where.state
    beyond = (
        f"; {state.missing}, so those whose objects are gone are not known" if state.missing else ""
    )
    if not known and not name:
        raise UsageError(f"there is no run in {state.cluster}{beyond}")
    found = pick(known, name, model=model, where=f"{state.cluster}{beyond}")
    # A list of what was kept says less of a run than its record.
    return Found(where, state.run(found.run.name) or found.run)


def _named(where: ClusterPlace, name: str) -> Run | None:
    """The run of exactly that name; None also for what is no name, as `abc…xyz`."""
    return where.state.run(name) if name.isascii() and "/" not in name else None


def _run(item: Json) -> Run:
    created = item["metadata"].get("creationTimestamp")
    return Run(
        name=item["metadata"]["name"],
        manifest={key: value for key, value in item.items() if key != "status"},
        status=item.get("status") or {},
        done=records.done(item),
        created=datetime.fromisoformat(created).timestamp() if created else 0.0,
    )


def _ordered(items: Iterable[Json]) -> dict[str, Json]:
    slim = [records.slim(item, "TaskRun") for item in items]
    slim.sort(key=lambda item: _begun(item))
    return {item["metadata"]["name"]: item for item in slim}


def _begun(item: Json) -> tuple[str, str, str]:
    # Times are of seconds; what ended first, or else began first, stands first.
    status = item.get("status") or {}
    return (
        str(item["metadata"].get("creationTimestamp", "")),
        str(status.get("startTime") or "9"),
        str(status.get("completionTime") or "9"),
    )


def _to(folder: Path) -> Any:
    """Writes each step's log into the folder."""

    def write(step: str, data: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{step}.log").open("ab") as stream:
            stream.write(data)

    return write
