"""Can this matrix be fanned out?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from touchstone.engine.matrix import MAX_COMBINATIONS
from touchstone.yaml import Document, FieldPath


def check_matrix(document: Document, path: FieldPath, task: Mapping[str, Any]) -> None:
    """The matrix of the pipeline task at `path`, if it has one. Raises ManifestError."""
    matrix = task.get("matrix")
    if matrix is None:
        return
    where = (*path, "matrix")
    if not matrix.get("params") and not matrix.get("include"):
        raise document.error("got neither params nor include, expected one of them", where)
    seen: dict[FieldPath, set[str]] = {}
    others = {item["name"] for item in task.get("params", [])}
    for place, item in matrix_items(task):
        of = seen.setdefault(place[:-1], set())
        if item["name"] in of:
            raise document.error(
                f"got {item['name']!r} twice, expected names to differ", (*where, *place, "name")
            )
        of.add(item["name"])
        if item["name"] in others:
            raise document.error(
                f"got {item['name']!r} in matrix and in params, expected exactly one",
                (*where, *place, "name"),
            )
        listed, fans = isinstance(item["value"], list), place[0] == "params"
        if listed != fans and not (fans and "[*])" in str(item["value"])):
            raise document.error(
                f"got {'an array' if listed else 'a string'}, expected"
                f" {'an array' if fans else 'a string'}",
                (*where, *place, "value"),
            )
    combinations = _combinations(matrix)
    if combinations > MAX_COMBINATIONS:
        raise document.error(
            f"got {combinations} combinations, expected at most {MAX_COMBINATIONS}", where
        )


def matrix_params(task: Mapping[str, Any]) -> set[str]:
    """The names of all params that a pipeline task's matrix gives."""
    return {item["name"] for _, item in matrix_items(task)}


def matrix_items(task: Mapping[str, Any]) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
    """Every param of a pipeline task's matrix and its path inside the matrix."""
    matrix = task.get("matrix", {})
    for index, item in enumerate(matrix.get("params", [])):
        yield ("params", index), item
    for number, include in enumerate(matrix.get("include", [])):
        for index, item in enumerate(include.get("params", [])):
            yield ("include", number, "params", index), item


def _combinations(matrix: Mapping[str, Any]) -> int:
    """At least how many runs there will be; arrays known only later count as one."""
    sizes = [
        len(item["value"])
        for item in matrix.get("params", [])
        if isinstance(item["value"], list) and item["value"]
    ]
    return prod(sizes) if matrix.get("params") else len(matrix.get("include", []))
