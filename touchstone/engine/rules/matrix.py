"""Can this matrix be fanned out? (matrix_types.go)"""

from __future__ import annotations

from collections.abc import Iterator

from touchstone.documents.naming import check_unique
from touchstone.documents.problems import Field
from touchstone.engine.language.matrix import MAX_COMBINATIONS, count


def check_matrix(task: Field) -> None:
    """The matrix of a pipeline task, if it has one."""
    matrix = task.at("matrix")
    if matrix.value is None:
        return
    if not matrix.get("params") and not matrix.get("include"):
        matrix.refuse("got neither params nor include, expected one of them", by="embedded")
    given = task.names("params")
    for holder in (matrix, *matrix.each("include")):
        check_unique(holder.each("params"))
        for item in holder.each("params"):
            if item.get("name") in given:
                item.refuse(
                    f"got {item.get('name')!r} in matrix and in params, expected exactly one",
                    "name",
                )
            value, fans = item.get("value"), holder is matrix
            if isinstance(value, list) != fans and not (fans and "[*])" in str(value)):
                wanted, got = ("an array", "a string") if fans else ("a string", "an array")
                item.refuse(f"got {got}, expected {wanted}", "value", by="embedded")
    combinations = count(matrix.value)
    if combinations > MAX_COMBINATIONS:
        matrix.refuse(f"got {combinations} combinations, expected at most {MAX_COMBINATIONS}")


def matrix_params(task: Field) -> Iterator[Field]:
    """Every param that a pipeline task's matrix gives."""
    matrix = task.at("matrix")
    for holder in (matrix, *matrix.each("include")):
        yield from holder.each("params")
