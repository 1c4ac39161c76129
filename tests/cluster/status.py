"""What of a run must be the same in both places: of its status, what is no clock, address or id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def told(status: Mapping[str, Any], children: Mapping[str, Mapping[str, Any]]) -> Json:
    """A run's condition, results, skips and children; `children` are their statuses by name."""
    return {
        **_run(status),
        **_kept(status, "skippedTasks", _skipped),
        **_kept(status, "childReferences", lambda child: _child(child, children)),
    }


def _run(status: Mapping[str, Any]) -> Json:
    succeeded = next(c for c in status["conditions"] if c["type"] == "Succeeded")
    return {
        "status": succeeded["status"],
        "reason": succeeded["reason"],
        "message": succeeded.get("message", ""),
        **_kept(status, "results", lambda item: {"name": item["name"], "value": item["value"]}),
        **_kept(status, "steps", _step),
        **_kept(status, "sidecars", _sidecar),
        **_kept(status, "retriesStatus", _run),
    }


def _child(reference: Mapping[str, Any], children: Mapping[str, Mapping[str, Any]]) -> Json:
    status = children.get(reference["name"])
    said = {key: reference[key] for key in _REFERENCE if reference.get(key)}
    return {**said, "said": told(status, children) if status and "conditions" in status else None}


_REFERENCE = ("name", "kind", "pipelineTaskName", "displayName", "whenExpressions")


def _skipped(task: Mapping[str, Any]) -> Json:
    return {key: task[key] for key in ("name", "reason", "whenExpressions") if task.get(key)}


def _step(step: Mapping[str, Any]) -> Json:
    ended = step.get("terminated", {})
    return {
        "name": step["name"],
        "exitCode": ended.get("exitCode"),
        "reason": ended.get("reason"),
        # Of a step whose message was too long to be told, Tekton has none now and then.
        "terminationReason": step.get("terminationReason") or ended.get("reason"),
        **_kept(step, "results", lambda item: {"name": item["name"], "value": item["value"]}),
    }


def _sidecar(sidecar: Mapping[str, Any]) -> Json:
    return {"name": sidecar["name"]}


def _kept(status: Mapping[str, Any], key: str, of: Any) -> Json:
    """A list's items, where there is any; sorted where Tekton's own order is that of a Go map."""
    items = [of(item) for item in status.get(key) or []]
    if key == "steps":  # Tekton names those too that never began
        items = [item for item in items if item["exitCode"] is not None]
    else:
        items.sort(key=lambda item: item.get("name", ""))
    return {key: items} if items else {}


def differences(here: Any, there: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two answers differ: what each says, by the path of it."""
    found: dict[str, tuple[Any, Any]] = {}
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted(here.keys() | there.keys()):
            inner = f"{path}.{key}" if path else key
            found |= differences(here.get(key), there.get(key), inner)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, pair in enumerate(zip(here, there, strict=True)):
            found |= differences(*pair, f"{path}[{index}]")
    elif here != there:
        found[path] = (here, there)
    return found
