"""Control of a cluster: PipelineRuns and TriggerTemplates through the Kubernetes API.

The ServiceAccount touchstone-requests may do this and no more: tekton/triggers/requests.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.cluster.connect import (
    PIPELINE_RUNS,
    TASK_RUNS,
    TRIGGER_TEMPLATES,
    Cluster,
    connect,
)
from touchstone.errors import PlatformError, UsageError
from touchstone.events.kinds import TemplateSpec
from touchstone.requests.keeper import PULL_REQUEST, RunSummary, belongs, summary
from touchstone.runs.tree import RERUN_OF

_FOREIGN = ("tekton.dev/", "triggers.tekton.dev/", "chains.tekton.dev/", "kubectl.kubernetes.io/")
"""Labels and annotations that controllers wrote about the old run."""

_OF_THE_END = ("status", "statusMessage")
"""Of a spec, what asked the old run to end."""


class ClusterControl:
    """Runs of one namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @classmethod
    def connect(cls) -> ClusterControl:
        """By the Pod's ServiceAccount, or by a kubeconfig. Raises PlatformError without either."""
        return cls(connect())

    def template(self, name: str) -> TemplateSpec:
        """See `Control`."""
        found = self._cluster.get(TRIGGER_TEMPLATES, name)
        if found is None:
            raise PlatformError(
                f"got no TriggerTemplate {name!r}, expected it in {self._cluster}",
                hint="kubectl apply -f tekton/triggers",
            )
        return TemplateSpec.model_validate(found["spec"])

    def runs(self, repository: str, pull_request: str) -> list[RunSummary]:
        """See `Control`."""
        items, _ = self._cluster.items(PIPELINE_RUNS, labels=f"{PULL_REQUEST}={pull_request}")
        items.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
        return [
            summary(item, item.get("status") or {})
            for item in items
            if belongs(item, repository, pull_request)
        ]

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """See `Control`."""
        return self._cluster.create(PIPELINE_RUNS, manifest) is not None

    def cancel(self, name: str) -> bool:
        """See `Control`."""
        run = self._run(name)
        if summary(run, run.get("status") or {}).done:
            return False
        body = {"spec": {"status": "CancelledRunFinally"}}
        self._cluster.patch(PIPELINE_RUNS, name, body)
        return True

    def repeat(self, name: str) -> tuple[str, str]:
        """See `Control`; Tekton cannot take over finished TaskRuns, so all of it runs."""
        run = self._run(name)
        if not summary(run, run.get("status") or {}).failed:
            raise UsageError(f"run {name} did not fail, expected one with something to repeat")
        return repeat(self._cluster, run), "the whole of it"

    def _run(self, name: str) -> Any:
        found = self._cluster.get(PIPELINE_RUNS, name)
        if found is None:
            raise UsageError(f"there is no run {name!r} in {self._cluster}")
        return found


def repeat(cluster: Cluster, run: Mapping[str, Any]) -> str:
    """Create a PipelineRun or TaskRun anew, as it was created; its name.

    Raises:
        ApiError: the API refuses.
    """
    old = run["metadata"]
    metadata = {
        "generateName": old.get("generateName") or f"{old['name']}-",
        "labels": _own(old.get("labels")),
        "annotations": {**_own(old.get("annotations")), RERUN_OF: old["name"]},
    }
    spec = {key: value for key, value in run["spec"].items() if key not in _OF_THE_END}
    kind = str(run.get("kind") or "PipelineRun")
    body = {"apiVersion": "tekton.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}
    made = cluster.create(PIPELINE_RUNS if kind == "PipelineRun" else TASK_RUNS, body)
    return str((made or {})["metadata"]["name"])


def _own(texts: Mapping[str, str] | None) -> dict[str, str]:
    return {key: text for key, text in (texts or {}).items() if not key.startswith(_FOREIGN)}
