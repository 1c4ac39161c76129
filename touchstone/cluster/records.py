"""What is kept of a cluster's runs when Pods and objects are gone? A record each, in the store.

`records/<namespace>/<run>` is the run's record:

```
{"pipelineRun": {…}, "taskRuns": [{…}, …], "logs": {"<TaskRun>/<step>": "sha256:…"}, "events": […]}
```

`pipelineRun` is null where a TaskRun ran by itself. Objects are as the API had them last, without
`managedFields`; `events` say what started the run. `records/<namespace>/_index` lists the newest
runs that have ended; no object can be called that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.cluster.connect import Json
from touchstone.runs import record
from touchstone.runs.lookup import annotations_of

ROOT = "records"
_INDEX = "_index"
_LISTED = 1000
"""Runs in the index of a namespace; older ones are found by their names."""

EVENT = "touchstone.dev/event"
"""Annotation of a run: the event that started it."""

PIPELINE_RUN = "tekton.dev/pipelineRun"
"""Tekton's label of a TaskRun: the PipelineRun that it is of."""

_SHOWN = ("conditions", "startTime", "completionTime", "childReferences")
"""Of a status, what a list of runs says."""


@dataclass(slots=True, kw_only=True)
class Record:
    """All that is kept of one run."""

    pipeline_run: Json | None
    task_runs: dict[str, Json] = field(default_factory=dict)
    """By name, in order of creation."""

    logs: dict[str, str] = field(default_factory=dict)
    """The digest of each log, by TaskRun and step as `<TaskRun>/<step>`."""

    @property
    def run(self) -> Json:
        """The PipelineRun, or the TaskRun that ran by itself."""
        return self.pipeline_run or next(iter(self.task_runs.values()))

    @property
    def uid(self) -> str:
        """What tells the run from another of its name."""
        return str(self.run["metadata"].get("uid", ""))

    def to_json(self) -> Json:
        """As it is stored."""
        return {
            "pipelineRun": self.pipeline_run,
            "taskRuns": list(self.task_runs.values()),
            "logs": self.logs,
            "events": events_of(self.run),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Record:
        """From what is stored."""
        return cls(
            pipeline_run=document["pipelineRun"],
            task_runs={one["metadata"]["name"]: one for one in document["taskRuns"]},
            logs=dict(document["logs"]),
        )


class Records:
    """The records in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, namespace: str, run: str) -> Record | None:
        """The run's record, or None. Raises PlatformError where the store cannot be read."""
        digest = self.store.ref(f"{ROOT}/{namespace}/{run}")
        return Record.of(self.store.get_json(digest)) if digest else None

    def put(self, namespace: str, kept: Record) -> str:
        """Keep it in place of what was kept of the run; its digest."""
        digest = self.store.put_json(kept.to_json())
        self.store.set_ref(f"{ROOT}/{namespace}/{kept.run['metadata']['name']}", digest)
        return digest

    def index(self, namespace: str) -> dict[str, Json]:
        """The newest runs that ended, by name, oldest first: as much of each as a list says."""
        digest = self.store.ref(f"{ROOT}/{namespace}/{_INDEX}")
        return dict(self.store.get_json(digest)["runs"]) if digest else {}

    def put_index(self, namespace: str, runs: Mapping[str, Json]) -> None:
        """Keep the newest of the rows, each as `row` makes it."""
        newest = sorted(runs.items(), key=lambda item: _created(item[1]))[-_LISTED:]
        digest = self.store.put_json({"runs": dict(newest)})
        self.store.set_ref(f"{ROOT}/{namespace}/{_INDEX}", digest)


def row(run: Mapping[str, Any]) -> Json:
    """Of a run's object, what a list of runs says of it."""
    status, spec = run.get("status") or {}, run.get("spec") or {}
    metadata = run["metadata"]
    kept = ("name", "namespace", "uid", "creationTimestamp", "labels", "annotations")
    revision = [one for one in spec.get("params") or [] if one.get("name") == "revision"]
    return {
        "kind": run["kind"],
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"params": revision},
        "status": {key: status[key] for key in _SHOWN if key in status},
    }


def events_of(run: Mapping[str, Any]) -> list[Json]:
    """What started the run: the event, and who took it; empty where nobody says."""
    event = annotations_of(run).get(EVENT)
    labels = run["metadata"].get("labels") or {}
    taken = {
        key: labels[f"triggers.tekton.dev/{key}"]
        for key in ("eventlistener", "trigger", "triggers-eventid")
        if f"triggers.tekton.dev/{key}" in labels
    }
    return [{"id": event or taken.get("triggers-eventid", ""), **taken}] if event or taken else []


def slim(item: Mapping[str, Any], kind: str) -> Json:
    """An object as it is kept: with its kind, which lists leave out, without who wrote what."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    annotations = metadata.get("annotations") or {}
    if annotations:
        metadata["annotations"] = {
            key: value for key, value in annotations.items() if not key.endswith(_APPLIED)
        }
    return {"apiVersion": "tekton.dev/v1", "kind": kind, **item, "metadata": metadata}


_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def run_uid(item: Mapping[str, Any]) -> str:
    """The uid of the run that a PipelineRun or TaskRun belongs to: its owner's, or its own."""
    metadata = item["metadata"]
    owners = metadata.get("ownerReferences") or [] if item["kind"] == "TaskRun" else []
    above = [one["uid"] for one in owners if one["kind"] == "PipelineRun"]
    return str(above[0] if above else metadata["uid"])


def identified(kept: Record) -> bool:
    """Whether it is known whose TaskRuns these are."""
    return kept.pipeline_run is not None or any(
        run_uid(item) == item["metadata"]["uid"] for item in kept.task_runs.values()
    )


def done(run: Mapping[str, Any]) -> bool:
    """Whether a PipelineRun or TaskRun has ended."""
    return bool(record.succeeded_condition(run.get("status") or {})["status"] != "Unknown")


def _created(item: Mapping[str, Any]) -> str:
    return str(item["metadata"].get("creationTimestamp", ""))
