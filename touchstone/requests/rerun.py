"""What does repeating a run take? A new run; with --failed, what finished well is taken over."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchstone.engine.language import graph
from touchstone.errors import UsageError
from touchstone.runs import record
from touchstone.runs.lookup import ASKED_AS, BREAKPOINTS, DEFINED_AS, NO_CACHE, Found, Place
from touchstone.runs.store import State
from touchstone.runs.tree import RERUN_OF

_NAME_LIMIT = 63
_OF_ONE_RUN = (ASKED_AS, DEFINED_AS, NO_CACHE, BREAKPOINTS)
"""Annotations that a run does not pass on to the one that repeats it."""


def repeat(found: Found[Place], *, failed: bool, extra: Mapping[str, str]) -> str:
    """Store the new run and return its name; nothing of it has begun.

    With `failed`, TaskRuns of the tasks section that succeeded are taken over, but those that
    follow one that did not; `finally` runs again. `extra` are annotations to add.

    Raises:
        UsageError: `failed`, and all of it succeeded.
    """
    old = found.run
    taken = _finished(found) if failed else {}
    if failed and old.done and record.succeeded(old.status):
        raise UsageError(
            f"run {old.name} did not fail, expected one with something to repeat",
            hint=f"touchstone rerun {old.name} repeats the whole of it",
        )
    metadata = dict(old.manifest["metadata"])
    kept = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in _OF_ONE_RUN
    }
    name = _new_name(old.name, metadata)
    metadata |= {"name": name, "annotations": {**kept, RERUN_OF: old.name, **extra}}
    spec = {key: value for key, value in old.manifest["spec"].items() if key != "status"}
    if failed:
        _copy_folders(found.place.root, old.name, name, taken)
    _store(found.place.state, {**old.manifest, "metadata": metadata, "spec": spec}, old, taken)
    return name


def _new_name(old: str, metadata: Mapping[str, Any]) -> str:
    base = metadata.get("generateName") or f"{old}-"
    return f"{base[: _NAME_LIMIT - 6]}{secrets.token_hex(3)}"


def _finished(found: Found[Place]) -> dict[str, str]:
    """TaskRun and pipeline task of each that is taken over, in order of creation."""
    run = found.run
    spec = run.status.get("pipelineSpec", {})
    statuses = found.place.state.taskruns(run.name)
    children: dict[str, list[str]] = {}
    for child in run.status.get("childReferences", []):
        if child.get("kind", "TaskRun") == "TaskRun":
            children.setdefault(child["pipelineTaskName"], []).append(child["name"])
    whole = {
        task
        for task, names in children.items()
        if all(
            record.finished(statuses.get(name, {})) and record.succeeded(statuses[name])
            for name in names
        )
    }
    tasks = {task["name"]: graph.parents(task) for task in spec.get("tasks", [])}
    again = {name for name in tasks if name not in whole}
    while more := {name for name, parents in tasks.items() if parents & again} - again:
        again |= more
    return {
        name: task for task, names in children.items() if task in tasks.keys() - again
        for name in names
    }  # fmt: skip


def _copy_folders(root: Path, old: str, new: str, taken: Mapping[str, str]) -> None:
    """The run's own volumes and the logs of what is taken over, as they would be had it run."""
    claims = root / "workspaces" / old / "claims"
    if claims.is_dir():
        shutil.copytree(claims, root / "workspaces" / new / "claims", symlinks=True)
    for taskrun in taken:
        logs = root / "logs" / old / taskrun
        if logs.is_dir():
            shutil.copytree(logs, root / "logs" / new / taskrun)


def _store(state: State, manifest: Mapping[str, Any], old: Any, taken: Mapping[str, str]) -> None:
    """The run with its finished TaskRuns, in one transaction: an engine sees all or nothing."""
    references = [
        child for child in old.status.get("childReferences", []) if child["name"] in taken
    ]
    status = {"childReferences": references} if references else {}
    manifests, statuses = state.taskrun_manifests(old.name), state.taskruns(old.name)
    taskruns = []
    for taskrun in taken:
        document = manifests[taskrun]
        metadata = dict(document["metadata"])
        source = (metadata.get("annotations") or {}).get(RERUN_OF, old.name)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), RERUN_OF: source}
        taskruns.append(({**document, "metadata": metadata}, statuses[taskrun]))
    state.add_run(manifest, status=status, taskruns=taskruns)
