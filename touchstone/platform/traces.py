"""Which spans does the embedded platform send? A run's as it ends, a release's as it is served.

They are those that a recorder sends on a cluster, and two more, as sync is ours here. Nothing
fails with them: what a collector does not take is told in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchstone.errors import TouchstoneError
from touchstone.git import git
from touchstone.runs import otlp
from touchstone.runs.otlp import Above, Exporter, Span
from touchstone.runs.store import State

if TYPE_CHECKING:
    from touchstone.delivery.sync import SyncEvent

_log = logging.getLogger(__name__)


class Traces:
    """Of one platform; without an exporter there are none.

    Args:
        gitops: the GitOps repository, a bare one on this machine.
    """

    def __init__(self, exporter: Exporter | None, state: State, gitops: Path) -> None:
        self._exporter, self._state, self._gitops = exporter, state, gitops

    def ended(self, name: str) -> None:
        """Send the run's spans if it has ended."""
        self._send(lambda: self._of_run(name))

    def synced(self, event: SyncEvent) -> None:
        """Send the review's span and serving's, if a release that was promoted here is served."""
        if event.merged:
            self._send(lambda: self._of_release(event, time.time()))

    def _send(self, spans: Callable[[], list[Span]]) -> None:
        if self._exporter is None:
            return
        try:
            if found := spans():
                self._exporter.send(found)
        except TouchstoneError as error:
            _log.warning("traces: %s", error)

    def _of_run(self, name: str) -> list[Span]:
        from touchstone.cluster import traces
        from touchstone.cluster.records import Record

        run = self._state.run(name)
        if run is None or not run.done:
            return []
        created = datetime.fromtimestamp(run.created, UTC).isoformat()
        whole = _object(run.manifest, run.status, created)
        if whole["kind"] == "TaskRun":
            return traces.spans("", Record(pipeline_run=None, task_runs={name: whole}))
        statuses, below = self._state.taskruns(name), self._state.taskrun_manifests(name)
        tasks = {one: _object(below[one], status, "") for one, status in statuses.items()}
        return traces.spans("", Record(pipeline_run=whole, task_runs=tasks))

    def _of_release(self, event: SyncEvent, served: float) -> list[Span]:
        from touchstone.delivery.promote import TRACE_TRAILER

        reviewed = f"{event.merged}^2"
        promoted, merged = (
            float(git("log", "-1", "--format=%ct", commit, cwd=self._gitops))
            for commit in (reviewed, event.merged)
        )
        trailer = f"--format=%(trailers:key={TRACE_TRAILER},valueonly)"
        above = Above.read(git("log", "-1", trailer, reviewed, cwd=self._gitops).strip())
        if above is None:
            return []
        where = f"{event.environment}/{event.model}"
        about = {
            "touchstone.model": event.model,
            "touchstone.environment": event.environment,
            "touchstone.version": event.version,
            "touchstone.merge": event.merged,
        }
        times = {"review": (promoted, merged), "serve": (merged, served)}
        return [
            otlp.span(
                f"{what} {where}", otlp.identity(what, where, event.merged), above, when, about
            )
            for what, when in times.items()
        ]


def _object(manifest: Mapping[str, Any], status: Mapping[str, Any], created: str) -> dict[str, Any]:
    """A run as the Kubernetes API would have it."""
    metadata = dict(manifest["metadata"])
    if created:
        metadata.setdefault("creationTimestamp", created)
    return {**manifest, "metadata": metadata, "status": status}
