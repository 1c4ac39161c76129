"""What is wrong with a document that does not fit its model: got, expected, and where it stands."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Path = Sequence[str | int]

_CLOSE = 0.7
"""How alike a slip of the pen is, from 0 to 1."""


def problems(
    error: ValidationError, place: Callable[[Path], str], model: type[BaseModel]
) -> list[tuple[str, str]]:
    """Every problem as its place, by the path of its field, and what was got and expected."""
    found = error.errors()
    # pydantic also calls a list too short when its only item was refused: that item says more.
    inner = {one["loc"][:end] for one in found for end in range(len(one["loc"]))}
    return [(place(one["loc"]), _explain(one, model)) for one in found if one["loc"] not in inner]


def _explain(problem: Any, model: type[BaseModel]) -> str:
    # A key may hold line ends, and would forge a line of its own.
    field = " ".join(".".join(str(part) for part in problem["loc"]).split())
    match problem["type"]:
        case "extra_forbidden":
            *above, name = problem["loc"]
            near = alike(str(name), _keys(model, above))
            return f"got unknown key {field}, expected one of the documented keys{near}"
        case "missing":
            return f"{field} is missing"
    return f"{field}: {told(problem)}" if field else told(problem)


def _keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the mapping at `path` of a document may have."""
    here = [model]
    for part in path:
        if isinstance(part, str):
            fields = [
                one for m in here for n, one in m.model_fields.items() if part in (n, one.alias)
            ]
            here = [inner for one in fields for inner in _models(one.annotation)]
    return [one.alias or name for m in here for name, one in m.model_fields.items()]


def _models(declared: Any) -> Iterator[type[BaseModel]]:
    """The models that a declared type is made of."""
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        yield declared
    for part in get_args(declared):
        yield from _models(part)


def told(problem: Any) -> str:
    """What pydantic says of one value, as got and expected."""
    if problem["type"] == "value_error" and str(problem["ctx"]["error"]).startswith("got "):
        return str(problem["ctx"]["error"])
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    match problem["type"]:
        case "model_type" | "model_attributes_type" | "dict_type":
            expected = "a mapping"
        case "tuple_type" | "list_type":
            expected = "a list"
        case "too_short":
            expected = f"at least {problem['ctx']['min_length']}"
        case "string_pattern_mismatch":
            expected = f"text of the pattern {problem['ctx']['pattern']}"
    got = problem["input"]
    near = alike(got, re.findall(r"'([^']+)'", expected)) if isinstance(got, str) else ""
    return f"got {reprlib.repr(got)}, expected {expected}{near}"


def alike(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'accuracy'?` where a known name is close to the one that was got."""
    names = list(known)
    same = [one for one in names if one.casefold() == name.casefold()]  # male: Male, not Female
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]!r}?" if close else ""
