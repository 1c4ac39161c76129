"""What a TriggerBinding takes out of an event: `$(body.a.b)`, `$(header.X)`, `$(extensions.x)`.

Expressions are the part of Kubernetes' JSONPath that names a place: dotted names, `['a name']`,
`\\.` for a dot within a name, `[2]`, `[-1]` and `[*]`. Filters and slices are refused when the
YAML is loaded. Header names are written as Go writes them (`X-Github-Event`), as on a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>(?:[^.\[\]\\{}()\s]|\\.)+)      # .name, a dot within it as \.
      | \[(?P<quote>['"])(?P<quoted>.+?)(?P=quote)\]  # ['name']
      | \[(?P<index>-?\d+)\]                          # [0]
      | (?P<every>\[\*\]|\.\*)                        # [*]
    """,
    re.VERBOSE,
)
_ROOTS = ("body", "header", "extensions", "context")

Path = tuple[str | int | None, ...]
"""Steps from the root: a name, an index, or None for every item."""


def parse(expression: str) -> Path:
    """The steps of `body.a[0].b` (also `.body…` and `{.body…}`).

    Raises:
        ValueError: it is no path, or starts at a root that events do not have.
    """
    text = expression.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text if text.startswith((".", "[")) else "." + text
    steps: list[str | int | None] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(
                f"got $({expression}), expected a path such as $(body.repository.name); "
                "filters and slices are not read here"
            )
        steps.append(_step(match))
        position = match.end()
    if not steps or steps[0] not in _ROOTS:
        raise ValueError(f"got $({expression}), expected it to start with one of {_ROOTS}")
    return tuple(steps)


def _step(match: re.Match[str]) -> str | int | None:
    if match["every"]:
        return None
    if match["index"]:
        return int(match["index"])
    if match["quoted"]:
        return match["quoted"]
    return re.sub(r"\\(.)", r"\1", match["name"])


def expressions(value: str) -> Iterator[tuple[str, str]]:
    """Each `$(…)` of `value` as (the whole, what is inside); brackets may nest."""
    start = value.find("$(")
    while start >= 0:
        depth = 0
        for end in range(start + 1, len(value)):
            depth += (value[end] == "(") - (value[end] == ")")
            if depth == 0:
                yield value[start : end + 1], value[start + 2 : end]
                break
        else:
            return
        start = value.find("$(", end + 1)


def check(value: str) -> None:
    """Refuse a binding's value that holds an expression this listener cannot read.

    Raises:
        ValueError: naming the expression.
    """
    for _, inside in expressions(value):
        parse(inside)


def resolve(value: str, event: Mapping[str, Any]) -> str:
    """`value` with every expression replaced by what the event holds there.

    `event` has the keys body, header, extensions and context. Text is pasted as it is; numbers,
    lists and objects as JSON; several values with a space between.

    Raises:
        ValueError: the event has nothing at that place.
    """
    pieces = []
    position = 0
    for whole, inside in expressions(value):
        start = value.index(whole, position)
        pieces += [value[position:start], _lookup(inside, event)]
        position = start + len(whole)
    return "".join([*pieces, value[position:]])


def _lookup(expression: str, event: Mapping[str, Any]) -> str:
    found: list[Any] = [event]
    for step in parse(expression):
        following: list[Any] = []
        for value in found:
            try:
                following += _follow(value, step)
            except (KeyError, IndexError, TypeError):
                raise ValueError(
                    f"got an event without $({expression}), expected a value there"
                ) from None
        found = following
    return " ".join(_as_text(value) for value in found)


def _follow(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        if not isinstance(value, dict | list):
            raise TypeError
        return list(value.values() if isinstance(value, dict) else value)
    if isinstance(value, dict) == isinstance(step, int) or isinstance(value, str):
        raise TypeError
    return [value[step]]


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
