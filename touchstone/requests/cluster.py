"""Control of a cluster: PipelineRuns and TriggerTemplates through the Kubernetes API.

The ServiceAccount touchstone-requests may do this and no more: tekton/triggers/requests.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone.errors import PlatformError, UsageError
from touchstone.events.kinds import TemplateSpec
from touchstone.requests.keeper import PULL_REQUEST, RunSummary, belongs, summary
from touchstone.runs.tree import RERUN_OF

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_RUNS = ("tekton.dev", "v1")
_TEMPLATES = ("triggers.tekton.dev", "v1beta1")
_FOREIGN = ("tekton.dev/", "triggers.tekton.dev/", "chains.tekton.dev/", "kubectl.kubernetes.io/")
"""Labels and annotations that controllers wrote about the old run."""


class ClusterControl:
    """Runs of one namespace; `api` is a kubernetes.client.CustomObjectsApi."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    @classmethod
    def connect(cls) -> ClusterControl:
        """By the Pod's ServiceAccount, or by a kubeconfig. Raises PlatformError without either."""
        from kubernetes import client, config

        try:
            config.load_config()
        except config.ConfigException as error:
            raise PlatformError(
                f"got neither a ServiceAccount nor a kubeconfig: {error}",
                hint="set TOUCHSTONE_HOME for the embedded platform, or KUBECONFIG for a cluster",
            ) from None
        namespace = _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "default"
        return cls(client.CustomObjectsApi(), namespace)

    def template(self, name: str) -> TemplateSpec:
        """See `Control`."""
        found = self._ask("get", *_TEMPLATES, plural="triggertemplates", name=name)
        if found is None:
            raise PlatformError(
                f"got no TriggerTemplate {name!r}, expected it in namespace {self._namespace}",
                hint="kubectl apply -f tekton/triggers",
            )
        return TemplateSpec.model_validate(found["spec"])

    def runs(self, repository: str, pull_request: str) -> list[RunSummary]:
        """See `Control`."""
        found = self._ask(
            "list", *_RUNS, plural="pipelineruns", label_selector=f"{PULL_REQUEST}={pull_request}"
        )
        items = sorted(
            found["items"], key=lambda item: item["metadata"]["creationTimestamp"], reverse=True
        )
        return [
            summary(item, item.get("status") or {})
            for item in items
            if belongs(item, repository, pull_request)
        ]

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """See `Control`."""
        made = self._ask("create", *_RUNS, plural="pipelineruns", body=dict(manifest))
        return made is not None

    def cancel(self, name: str) -> bool:
        """See `Control`."""
        run = self._run(name)
        if summary(run, run.get("status") or {}).done:
            return False
        body = {"spec": {"status": "CancelledRunFinally"}}
        self._ask("patch", *_RUNS, plural="pipelineruns", name=name, body=body)
        return True

    def repeat(self, name: str) -> tuple[str, str]:
        """See `Control`; Tekton cannot take over finished TaskRuns, so all of it runs."""
        run = self._run(name)
        if not summary(run, run.get("status") or {}).failed:
            raise UsageError(f"run {name} did not fail, expected one with something to repeat")
        old = run["metadata"]
        metadata = {
            "generateName": old.get("generateName") or f"{name}-",
            "labels": _own(old.get("labels")),
            "annotations": {**_own(old.get("annotations")), RERUN_OF: name},
        }
        spec = {key: value for key, value in run["spec"].items() if key != "status"}
        body = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata}
        made = self._ask("create", *_RUNS, plural="pipelineruns", body={**body, "spec": spec})
        return made["metadata"]["name"], "the whole of it"

    def _run(self, name: str) -> Any:
        found = self._ask("get", *_RUNS, plural="pipelineruns", name=name)
        if found is None:
            raise UsageError(f"there is no run {name!r} in namespace {self._namespace}")
        return found

    def _ask(self, verb: str, group: str, version: str, **arguments: Any) -> Any:
        """The answer; None for what is not there (get) or there already (create)."""
        from kubernetes.client import ApiException

        call = getattr(self._api, f"{verb}_namespaced_custom_object")
        try:
            return call(group=group, version=version, namespace=self._namespace, **arguments)
        except ApiException as error:
            if (verb, error.status) in (("get", 404), ("create", 409)):
                return None
            raise PlatformError(
                f"the Kubernetes API answered {error.status} ({error.reason}) to {verb}"
                f" {arguments['plural']} in {self._namespace}",
                hint="the ServiceAccount touchstone-requests needs its Role" if error.status == 403
                else "",
            ) from None  # fmt: skip


def _own(texts: Mapping[str, str] | None) -> dict[str, str]:
    return {key: text for key, text in (texts or {}).items() if not key.startswith(_FOREIGN)}
