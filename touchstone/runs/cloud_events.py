"""Which CloudEvents does a change of a run's status make? Tekton's own, type for type.

Facts from Tekton's events controller: the type follows from the Succeeded condition; nothing is
sent while the condition stays as it was; each type but `unknown` is sent once for an object; the
data holds the whole object in its v1beta1 form under `taskRun` or `pipelineRun`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from touchstone.runs.record import Json, written_condition

_ROOTS = {"TaskRun": "taskRun", "PipelineRun": "pipelineRun"}
_V1BETA1_STEPS = ("steps", "sidecars")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One CloudEvent about a TaskRun or PipelineRun."""

    type: str
    attributes: Mapping[str, str]
    """The context attributes, `type` among them."""

    data: Mapping[str, Any]


def events(
    manifest: Mapping[str, Any], before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> list[RunEvent]:
    """The events that tell of the step from status `before` to `after`, oldest first.

    `before` is None for an object just created. An engine picks a run up and starts it in one
    go: `started` is then told with the condition Tekton gives at that moment.
    """
    if before is None:
        created = [_event(manifest, {}, "queued")]
        return (
            created
            if written_condition(after) is None
            else [*created, *events(manifest, {}, after)]
        )
    old, new = written_condition(before), written_condition(after)
    if new is None or _told(new) == _told(old):
        return []
    found = []
    if old is None and new["reason"] != "Started":
        found.append(_event(manifest, _picked_up(after, new), "started"))
    return [*found, _event(manifest, after, _suffix(new))]


def repeats(event_type: str) -> bool:
    """Whether an event of this type may be told more than once of one object."""
    return ".unknown." in event_type


def _told(condition: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    if condition is None:
        return None
    return (condition["status"], condition["reason"], condition["message"])


def _suffix(condition: Mapping[str, Any]) -> str:
    match condition["status"]:
        case "True":
            return "successful"
        case "False":
            return "failed"
    return {"Started": "started", "Running": "running"}.get(condition["reason"], "unknown")


def _picked_up(status: Mapping[str, Any], condition: Mapping[str, Any]) -> Json:
    started = {**condition, "status": "Unknown", "reason": "Started", "message": ""}
    return {"startTime": status.get("startTime"), "conditions": [started]}


def _event(manifest: Mapping[str, Any], status: Mapping[str, Any], suffix: str) -> RunEvent:
    kind = manifest["kind"]
    metadata = {"namespace": "default", **manifest["metadata"]}
    kept = {**manifest, "metadata": metadata}
    if status:
        kept["status"] = dict(status)
    name = metadata["name"]
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "type": f"dev.tekton.event.{kind.lower()}.{suffix}.v1",
        "source": f"/apis/tekton.dev/v1/namespaces/{metadata['namespace']}/{kind}/{name}",
        "subject": name,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    return RunEvent(
        type=attributes["type"], attributes=attributes, data={_ROOTS[kind]: _v1beta1(kept)}
    )


# v1 to v1beta1, as far as the two differ in what a run holds


def _v1beta1(manifest: Mapping[str, Any]) -> Json:
    spec, status = dict(manifest.get("spec", {})), manifest.get("status")
    spec |= spec.pop("taskRunTemplate", {})
    spec.setdefault("serviceAccountName", "default")
    if "taskRunSpecs" in spec:
        spec["taskRunSpecs"] = [_task_run_spec(item) for item in spec["taskRunSpecs"]]
    document = {**manifest, "apiVersion": "tekton.dev/v1beta1", "spec": _specs(_overrides(spec))}
    if status is not None:
        results = "taskResults" if manifest["kind"] == "TaskRun" else "pipelineResults"
        document["status"] = _specs(_renamed(status, "results", results))
        if "retriesStatus" in status:
            document["status"]["retriesStatus"] = [
                _specs(_renamed(item, "results", results)) for item in status["retriesStatus"]
            ]
    return document


def _specs(owner: Mapping[str, Any]) -> Json:
    """`owner` with the Task and Pipeline specs in it in their v1beta1 form."""
    converted = dict(owner)
    if isinstance(owner.get("taskSpec"), Mapping):
        converted["taskSpec"] = _task_spec(owner["taskSpec"])
    if isinstance(owner.get("pipelineSpec"), Mapping):
        pipeline = dict(owner["pipelineSpec"])
        for section in ("tasks", "finally"):
            if section in pipeline:
                pipeline[section] = [_specs(task) for task in pipeline[section]]
        converted["pipelineSpec"] = pipeline
    return converted


def _task_spec(spec: Mapping[str, Any]) -> Json:
    converted = dict(spec)
    for part in _V1BETA1_STEPS:
        if part in converted:
            converted[part] = [
                _renamed(item, "computeResources", "resources") for item in converted[part]
            ]
    if "stepTemplate" in converted:
        converted["stepTemplate"] = _renamed(
            converted["stepTemplate"], "computeResources", "resources"
        )
    return converted


def _task_run_spec(item: Mapping[str, Any]) -> Json:
    renamed = _renamed(item, "podTemplate", "taskPodTemplate")
    return _overrides(_renamed(renamed, "serviceAccountName", "taskServiceAccountName"))


def _overrides(owner: Mapping[str, Any]) -> Json:
    converted = dict(owner)
    for old, new in (("stepSpecs", "stepOverrides"), ("sidecarSpecs", "sidecarOverrides")):
        if old in converted:
            items = converted.pop(old)
            converted[new] = [_renamed(item, "computeResources", "resources") for item in items]
    return converted


def _renamed(owner: Mapping[str, Any], old: str, new: str) -> Json:
    return {(new if key == old else key): value for key, value in owner.items()}
