"""In which order can a pipeline's tasks run?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from touchstone.engine.substitute import Key, references


def result_references(task: Mapping[str, Any]) -> list[Key]:
    """The $(tasks.NAME.results.RESULT...) references of a pipeline task."""
    parts = [task.get("params", []), task.get("when", []), task.get("taskSpec", {})]
    parts.append([item.get("subPath", "") for item in task.get("workspaces", [])])
    return [key for key in references(parts) if is_result(key)]


def is_result(key: Key) -> bool:
    """Whether a reference is one to a task's result."""
    return len(key) >= 4 and key[0] == "tasks" and key[2] == "results"


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


def order(tasks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Task names, parents first."""
    by_name = {task["name"]: parents(task) for task in tasks}
    return list(TopologicalSorter(by_name).static_order())
