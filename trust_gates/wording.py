"""What is wrong with a document that does not fit its model: got, expected, and where it stands."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

Path = Sequence[str | int]


def problems(error: ValidationError, place: Callable[[Path], str]) -> list[tuple[str, str]]:
    """Every problem as its place, by the path of its field, and what was got and expected."""
    found = error.errors()
    # pydantic also calls a list too short when its only item was refused: that item says more.
    inner = {one["loc"][:end] for one in found for end in range(len(one["loc"]))}
    return [(place(one["loc"]), _explain(one)) for one in found if one["loc"] not in inner]


def _explain(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return f"got unknown key {field}, expected one of the documented keys"
        case "missing":
            return f"{field} is missing"
    return f"{field}: {told(problem)}" if field else told(problem)


def told(problem: Any) -> str:
    """What pydantic says of one value, as got and expected."""
    if problem["type"] == "value_error" and str(problem["ctx"]["error"]).startswith("got "):
        return str(problem["ctx"]["error"])
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"got {reprlib.repr(problem['input'])}, expected {expected}"
