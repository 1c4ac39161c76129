"""What a TriggerBinding takes out of an event: `$(body.a.b)`, `$(header.X)`, `$(extensions.x)`.

What is inside `$(…)` is JSONPath as Kubernetes reads it (touchstone.events.jsonpath). Header names
are compared as Go writes them (`X-Github-Event`), whatever the binding writes.

A value is kept as Tekton pastes it into a template's JSON: texts with JSON's escapes but without
quotes, everything else as JSON, several values as a JSON array.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from touchstone.events import jsonpath
from touchstone.events.headers import canonical

_ROOTS = ("body", "header", "extensions", "context")
_HEADER = "header."


def parse(expression: str) -> jsonpath.Path:
    """The path in `body.a[0].b` (also `.body…` and `{.body…}`).

    Raises:
        ValueError: it is no path, or starts at a root that events do not have.
    """
    text = expression
    if text.startswith(_HEADER):
        text = _HEADER + canonical(text.removeprefix(_HEADER))
    try:
        path = jsonpath.parse(text)
    except ValueError as error:
        raise ValueError(
            f"got $({expression}), expected a path such as $(body.repository.name): {error}"
        ) from None
    first = path[0] if path else None
    if not isinstance(first, jsonpath.Field) or first.name not in _ROOTS:
        raise ValueError(f"got $({expression}), expected it to start with one of {_ROOTS}")
    return path


def expressions(value: str) -> Iterator[tuple[str, str]]:
    """Each `$(…)` of `value` as (the whole, what is inside); brackets within it must pair."""
    for piece in value.split("$(")[1:]:
        depth = 0
        for end, letter in enumerate(piece):
            depth += (letter == "(") - (letter == ")")
            if depth < 0:
                yield f"$({piece[:end]})", piece[:end]
                break


def check(value: str) -> None:
    """Refuse a binding's value that holds an expression which no event can satisfy.

    Raises:
        ValueError: naming the expression.
    """
    found = list(expressions(value))
    if value.count("$(") > len(found):
        raise ValueError(f"got {value!r}, expected every $( to be closed by )")
    for _, inside in found:
        parse(inside)


def resolve(value: str, event: Mapping[str, Any], *, default: str | None = None) -> str:
    """`value` with every expression replaced by what the event holds there, as pasted into JSON.

    `event` has the keys body, header, extensions and context. `default` stands in for each place
    that the event does not have.

    Raises:
        ValueError: the event has nothing at that place, and there is no default.
    """
    pieces = []
    position = 0
    for whole, inside in expressions(value):
        try:
            text = pasted(jsonpath.find(parse(inside), [dict(event)]))
        except LookupError as error:
            if default is None:
                raise ValueError(f"got an event without $({inside}): {error}") from None
            text = default
        start = value.index(whole, position)
        pieces += [value[position:start], text]
        position = start + len(whole)
    return "".join([*pieces, value[position:]])


def pasted(values: list[Any]) -> str:
    """The values as Tekton writes them into a template's JSON."""
    if len(values) != 1:
        return as_go_writes_json(values)
    return (
        as_go_writes_json(values[0])[1:-1]
        if isinstance(values[0], str)
        else as_go_writes_json(values[0])
    )


def as_go_writes_json(value: Any, *, sort: bool = False) -> str:
    """JSON text without spaces, with numbers as Go writes doubles: 2, 0.000001, 1e-7, 1e+21."""
    if isinstance(value, dict):
        items = sorted(value.items()) if sort else value.items()
        pairs = (f"{_string(key)}:{as_go_writes_json(item, sort=sort)}" for key, item in items)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(as_go_writes_json(item, sort=sort) for item in value) + "]"
    return _number(value) if isinstance(value, float) else _string(value)


def _string(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    size = abs(value)
    if size and not 1e-6 <= size < 1e21:
        digits, _, exponent = repr(value).partition("e")
        return f"{digits.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return format(Decimal(repr(value)), "f").removesuffix(".0")
