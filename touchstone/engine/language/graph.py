"""In which order can a pipeline's tasks run?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from touchstone.engine.language.substitute import Key, references

ORDERING = (
    "name", "image", "imagePullPolicy", "script", "workingDir", "command", "args", "env",
)  # fmt: skip
"""The fields of an embedded Task's steps and sidecars in which a result orders the tasks."""


def result_references(task: Mapping[str, Any]) -> list[Key]:
    """The $(tasks.NAME.results.RESULT...) references of a pipeline task."""
    return [key for key in _references(task) if is_result(key)]


def is_result(key: Key) -> bool:
    """Whether a reference is one to a task's result."""
    return len(key) >= 4 and key[0] == "tasks" and key[2] == "results"


def is_matrix_length(key: Key) -> bool:
    """Whether a reference is $(tasks.NAME.matrix.length) or that of one result's values."""
    return len(key) in {4, 5} and (key[0], key[2], key[-1]) == ("tasks", "matrix", "length")


def parents(task: Mapping[str, Any]) -> set[str]:
    """The tasks this one waits for: named in runAfter, or whose results it uses."""
    return set(task.get("runAfter", [])) | {key[1] for key in result_references(task)}


def find_cycle(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Task names along a cycle, first and last the same; empty where there is none."""
    names = {task["name"] for task in tasks}
    sorter = TopologicalSorter({task["name"]: parents(task) & names for task in tasks})
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _references(task: Mapping[str, Any]) -> Iterable[Key]:
    parts = [task.get(field, {}) for field in ("params", "matrix", "when", "taskRef")]
    spec = task.get("taskSpec", {})
    for container in (*spec.get("steps", []), *spec.get("sidecars", [])):
        parts += [container.get(field, "") for field in ORDERING]
    parts.append([item.get("subPath", "") for item in task.get("workspaces", [])])
    return references(parts)
