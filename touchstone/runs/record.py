"""How is a run's state written in Tekton's status documents, and how read? In this module alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

RESULT_LIMIT = 4096
"""Bytes of the message in which a step tells the results, as in Tekton by default."""


def now() -> str:
    """This moment as Kubernetes writes it: 2026-11-24T03:06:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(status: str, reason: str, message: str) -> Json:
    """The Succeeded condition; `status` is True, False or Unknown."""
    return {
        "type": "Succeeded",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now(),
    }


def written_condition(status: Mapping[str, Any]) -> Json | None:
    """The Succeeded condition of a status document; None where none was written yet."""
    for item in status.get("conditions", []):
        if item.get("type") == "Succeeded":
            return {"reason": "", "message": "", **item}
    return None


def succeeded_condition(status: Mapping[str, Any]) -> Json:
    """The Succeeded condition of a status document; Unknown and Pending where there is none yet."""
    pending = {"type": "Succeeded", "status": "Unknown", "reason": "Pending", "message": ""}
    return written_condition(status) or pending


def finished(status: Mapping[str, Any]) -> bool:
    """Whether a run with this status ended, well or badly."""
    return bool(status.get("completionTime"))


def succeeded(status: Mapping[str, Any]) -> bool:
    """Whether a run with this status ended well."""
    return bool(succeeded_condition(status)["status"] == "True")


def outcome(status: Mapping[str, Any] | None) -> str:
    """What $(tasks.NAME.status) says: Succeeded, Failed, or None where it did not run."""
    if status is None or not finished(status):
        return "None"
    return "Succeeded" if succeeded(status) else "Failed"


def results(status: Mapping[str, Any]) -> dict[str, Any]:
    """The results of a run by name."""
    return {item["name"]: item["value"] for item in status.get("results", [])}


def seconds(status: Mapping[str, Any], *, until: float | None = None) -> float | None:
    """Seconds from start to end; of what has not ended, to `until` (since the epoch), else None."""
    started, ended = status.get("startTime"), status.get("completionTime")
    end = datetime.fromisoformat(ended).timestamp() if ended else until
    if not started or end is None:
        return None
    return max(0.0, end - datetime.fromisoformat(started).timestamp())


def tasks_of(status: Mapping[str, Any]) -> dict[str, str]:
    """The pipeline task of each child of a PipelineRun, by the child's name."""
    children = status.get("childReferences", [])
    return {child["name"]: child.get("pipelineTaskName", child["name"]) for child in children}


def cached_from(status: Mapping[str, Any]) -> str:
    """RUN/TASKRUN that made the results of a TaskRun from the cache; empty of one that ran."""
    source = (status.get("provenance") or {}).get("touchstoneCache")
    return f"{source['run']}/{source['taskRun']}" if source else ""


def failed_step(status: Mapping[str, Any]) -> str:
    """The step that ended a TaskRun: the first that failed and was not let pass; empty if none."""
    for step in status.get("steps", []):
        bad = step.get("terminated", {}).get("exitCode", 0) != 0
        if bad and step.get("terminationReason") not in ("Continued", "Skipped"):
            return str(step["name"])
    return ""


def result(name: str, value: Any) -> Json:
    """One entry of `status.results`."""
    kind = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "string"
    return {"name": name, "type": kind, "value": value}


def terminated(exit_code: int, reason: str, started: str) -> Json:
    """`status.steps[].terminated` of a step that ended just now; `exit_code` as Tekton has it."""
    return {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": started,
        "finishedAt": now(),
    }
