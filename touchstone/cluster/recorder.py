"""What do runs on a cluster leave behind? Logs with each TaskRun and a record with each run, kept.

Runs and TaskRuns are watched; the log of each step is read while it runs, as Tekton removes the Pod
of one that is cancelled. All that is stored is stored by one thread, and may be stored again: after
a kill the recorder lists what there is and goes on with whatever has no record yet.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from touchstone.cluster import records, watching
from touchstone.cluster.bounded import BoundedLog
from touchstone.cluster.connect import PIPELINE_RUNS, TASK_RUNS, ApiError, Cluster, Json, Kind
from touchstone.cluster.metrics import Metrics
from touchstone.cluster.podlogs import PodLogs
from touchstone.cluster.records import PIPELINE_RUN, Record, Records
from touchstone.cluster.traces import spans
from touchstone.errors import PlatformError, TouchstoneError
from touchstone.runs import record
from touchstone.runs.faults import Postponed, words
from touchstone.runs.otlp import Exporter

_log = logging.getLogger(__name__)

_TICK = 0.25
_PATIENCE = 30.0
"""Seconds that a log may take to end after its TaskRun, and a TaskRun to be seen after its run."""

_QUIET = 300.0
"""Seconds without a word of the API, or of the thread that stores, that are too many."""

_TRACE_TRIES = 5

_KINDS = {PIPELINE_RUNS: "PipelineRun", TASK_RUNS: "TaskRun"}


@dataclass(slots=True)
class _Log:
    """The logs of a TaskRun's Pod on their way into the store."""

    pod: PodLogs
    folder: Path
    steps: dict[str, BoundedLog] = field(default_factory=dict)
    ended: float = 0.0
    """When its TaskRun was seen to have ended; 0 while it runs."""

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        if not self.ended:
            return False
        return self.pod.join(0) or time.monotonic() - self.ended > _PATIENCE


@dataclass(slots=True)
class _Run:
    """A run that has no whole record yet; by itself a TaskRun is one too."""

    kept: Record
    ended: float = 0.0
    changed: bool = False
    """Whether what is stored of it lacks a log."""


class Recorder:
    """Of one namespace.

    Args:
        spool: folder of its own for logs that are not stored yet.
        log_limit: bytes that are kept of one log.
    """

    def __init__(
        self,
        cluster: Cluster,
        kept: Records,
        *,
        namespace: str,
        spool: Path,
        log_limit: int,
        metrics: Metrics,
        exporter: Exporter | None = None,
    ) -> None:
        self._cluster, self._records, self._namespace = cluster, kept, namespace
        self._spool, self._limit = spool, log_limit
        self._metrics, self._exporter = metrics, exporter
        self._news: queue.SimpleQueue[tuple[Kind, watching.Listed | watching.Changed]] = (
            queue.SimpleQueue()
        )
        self._runs: dict[str, _Run] = {}
        self._logs: dict[str, _Log] = {}
        self._saved: set[str] = set()
        """TaskRuns whose logs are stored, by uid."""

        self._finished: set[str] = set()
        """Runs that have their record, by uid."""

        self._index: dict[str, Json] | None = None
        self._traced: list[tuple[Record, int]] = []
        self._postponed = Postponed()
        self._heard = self._worked = time.monotonic()

    @property
    def healthy(self) -> bool:
        """Whether it hears the API and gets on with its work."""
        return time.monotonic() - min(self._heard, self._worked) < _QUIET

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`.

        Raises:
            ApiError: the API refuses to be watched.
        """
        refused: list[ApiError] = []

        def watch(kind: Kind) -> None:
            try:
                found = watching.changes(
                    self._cluster, kind, namespace=self._namespace, stop=stop, heard=self._hear
                )
                for news in found:
                    self._hear()
                    self._news.put((kind, news))
            except ApiError as error:
                self._metrics.errors.labels(self._namespace, "api").inc()
                refused.append(error)
                stop.set()

        for kind in _KINDS:
            threading.Thread(target=watch, args=(kind,), daemon=True).start()
        while not stop.is_set():
            self.work(_TICK)
        if refused:
            raise refused[0]

    def work(self, seconds: float) -> None:
        """Take in what has happened, for so long at most, and store what can be."""
        if self._index is None and not self._try("the index", self._load):
            time.sleep(seconds)
            self._worked = time.monotonic()
            return
        with suppress(queue.Empty):
            wait = seconds
            while True:
                self._take(*self._news.get(timeout=wait))
                wait = 0.001
        for uid, log in list(self._logs.items()):
            if log.over:
                self._try(uid, partial(self._save_logs, uid, log))
        for uid, run in list(self._runs.items()):
            if run.ended and self._complete(run):
                self._try(uid, partial(self._finish, uid, run))
            elif run.changed and records.identified(run.kept):
                self._try(uid, partial(self._store, run))
        self._send_traces()
        waiting = [run.kept.run for run in self._runs.values() if not run.ended]
        self._metrics.unfinished(
            self._namespace, [run for run in waiting if run["kind"] == "PipelineRun"]
        )
        self._metrics.unsaved.labels(self._namespace).set(len(self._runs) - len(waiting))
        self._worked = time.monotonic()

    def _hear(self) -> None:
        self._heard = time.monotonic()
        self._metrics.heard.labels(self._namespace).set_to_current_time()

    def _load(self) -> None:
        self._index = self._records.index(self._namespace)
        self._finished = {str(row["metadata"].get("uid", "")) for row in self._index.values()}

    def _take(self, kind: Kind, news: watching.Listed | watching.Changed) -> None:
        if isinstance(news, watching.Changed):
            self._see(kind, news.item, gone=news.gone)
            return
        for item in news.items:
            self._see(kind, item, gone=False)
        there = {item["metadata"]["uid"] for item in news.items}
        for run in list(self._runs.values()):
            above, below = run.kept.pipeline_run, run.kept.task_runs.values()
            for item in [*below] if kind is TASK_RUNS else [above] if above else []:
                if item["metadata"]["uid"] not in there:
                    self._see(kind, item, gone=True)

    def _see(self, kind: Kind, item: Mapping[str, Any], *, gone: bool) -> None:
        item = records.slim(item, _KINDS[kind])
        uid = records.run_uid(item)
        if uid in self._finished:
            return
        run = self._runs.get(uid)
        if run is None:
            run = self._runs[uid] = _Run(Record(pipeline_run=None))
            self._resume(uid, item, run)
        over = gone or records.done(item)
        if kind is PIPELINE_RUNS:
            run.kept.pipeline_run = item
        else:
            run.kept.task_runs[item["metadata"]["name"]] = item
            self._follow(item, over=over)
        alone = kind is TASK_RUNS and not (item["metadata"].get("labels") or {}).get(PIPELINE_RUN)
        orphan = gone and run.kept.pipeline_run is None and not alone
        if (over and (kind is PIPELINE_RUNS or alone)) or orphan:
            run.ended = run.ended or time.monotonic()

    def _resume(self, uid: str, item: Mapping[str, Any], run: _Run) -> None:
        """Take over what an earlier recorder has stored of the run."""
        name = (item["metadata"].get("labels") or {}).get(PIPELINE_RUN) or item["metadata"]["name"]
        with suppress(PlatformError):
            found = self._records.get(self._namespace, name)
            if found is not None and found.uid == uid:
                run.kept = found
                logged = {key.partition("/")[0] for key in found.logs}
                self._saved |= {
                    one["metadata"]["uid"]
                    for name, one in found.task_runs.items()
                    if name in logged and records.done(one)
                }

    def _follow(self, item: Mapping[str, Any], *, over: bool) -> None:
        uid, pod = item["metadata"]["uid"], (item.get("status") or {}).get("podName")
        if not pod or uid in self._saved:
            return
        log = self._logs.get(uid)
        if log is not None and log.pod.pod != pod:  # a retry has a Pod of its own
            shutil.rmtree(log.folder, ignore_errors=True)
            log = None
        if log is None:
            folder = self._spool / pod
            log = self._logs[uid] = self._open(folder, pod)
            log.pod.start()
        if over and not log.ended:
            log.ended = time.monotonic()
            log.pod.end()

    def _open(self, folder: Path, pod: str) -> _Log:
        steps: dict[str, BoundedLog] = {}

        def write(step: str, data: bytes) -> None:
            if step not in steps:
                steps[step] = BoundedLog(folder / step, self._limit)
            steps[step].write(data)

        return _Log(PodLogs(self._cluster, self._namespace, pod, write), folder, steps)

    def _save_logs(self, uid: str, log: _Log) -> None:
        run, name = self._owner(uid)
        for step, found in log.steps.items():
            path = found.whole()
            run.kept.logs[f"{name}/{step}"] = self._records.store.put(path)
            self._metrics.log_bytes.labels(self._namespace).inc(path.stat().st_size)
        run.changed = True
        self._saved.add(uid)
        del self._logs[uid]
        shutil.rmtree(log.folder, ignore_errors=True)

    def _owner(self, uid: str) -> tuple[_Run, str]:
        return next(
            (run, name)
            for run in self._runs.values()
            for name, item in run.kept.task_runs.items()
            if item["metadata"]["uid"] == uid
        )

    def _complete(self, run: _Run) -> bool:
        """Whether all that the run leaves is here, or has had its time to come."""
        known = run.kept.task_runs
        if any(item["metadata"]["uid"] in self._logs for item in known.values()):
            return False
        expected = (
            record.tasks_of(run.kept.run.get("status") or {}) if run.kept.pipeline_run else {}
        )
        here = all(name in known and records.done(known[name]) for name in expected)
        return here or time.monotonic() - run.ended > _PATIENCE

    def _store(self, run: _Run) -> None:
        self._records.put(self._namespace, run.kept)
        run.changed = False

    def _finish(self, uid: str, run: _Run) -> None:
        if not records.identified(run.kept):
            # TaskRuns of a run that was gone before anybody saw it: nothing says what they were.
            del self._runs[uid]
            return
        digest = self._records.put(self._namespace, run.kept)
        assert self._index is not None  # noqa: S101  it is loaded before anything is seen
        index = {**self._index, run.kept.run["metadata"]["name"]: records.row(run.kept.run)}
        self._records.put_index(self._namespace, index)
        self._index = index
        self._finished.add(uid)
        del self._runs[uid]
        self._saved -= {item["metadata"]["uid"] for item in run.kept.task_runs.values()}
        self._metrics.ended(self._namespace, run.kept)
        self._traced.append((run.kept, 0))
        _log.info("%s: recorded as %s", run.kept.run["metadata"]["name"], digest)

    def _send_traces(self) -> None:
        waiting, self._traced = self._traced, []
        for kept, tries in waiting:
            item = f"traces of {kept.run['metadata']['name']}"
            if self._postponed.waits(item):
                self._traced.append((kept, tries))
            elif not self._try(item, partial(self._send, kept), what="traces"):
                if tries + 1 < _TRACE_TRIES:
                    self._traced.append((kept, tries + 1))
                else:
                    self._postponed.forget(item)

    def _send(self, kept: Record) -> None:
        if self._exporter is not None:
            self._exporter.send(spans(self._namespace, kept))

    def _try(self, item: str, work: Callable[[], None], *, what: str = "store") -> bool:
        """Whether it was done now; what fails is tried again, each time after a longer wait."""
        if self._postponed.waits(item):
            return False
        try:
            work()
        except (TouchstoneError, OSError) as error:
            wait = self._postponed.note(item, error)
            self._metrics.errors.labels(self._namespace, what).inc()
            _log.warning("%s: %s; tried again in %g s", item, words(error), wait)
            return False
        self._postponed.forget(item)
        return True
