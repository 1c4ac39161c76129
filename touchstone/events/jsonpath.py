"""JSONPath as Kubernetes' client-go reads it, the language of a TriggerBinding's `$(…)`.

Fields (`.a`, `['a b']`, `a\\.b`), indices and slices (`[0]`, `[-1]`, `[1:3]`, `[*]`), unions
(`[0,2]`), recursive descent (`..a`) and filters that compare one field (`[?(@.name=='ssh')]`).
`range`/`end` and texts outside `{}` are refused. As in client-go there is no `&&` in a filter.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

_FIELD = re.compile(r"(?:[^\s.,\[\]$@{}\\]|\\.)*")
_NUMBER = re.compile(r"[+-]?[\d.]+")
_DICT_KEY = re.compile(r"'([^']*)'")
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_COMPARISON = re.compile(r"([^!<>=]+)([!<>=]+)(.+?)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Node(Protocol):
    """One step of a path."""

    def apply(self, values: list[Any]) -> list[Any]:
        """The values that this step leads to. Raises LookupError where there is no way on."""
        ...


Path = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """The field `name` of every object."""

    name: str

    def apply(self, values: list[Any]) -> list[Any]:
        """At least one object must have it."""
        found = [v[self.name] for v in values if isinstance(v, dict) and self.name in v]
        if values and not found:
            raise LookupError(f"{self.name} is not found")
        return found


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Every field or item."""

    def apply(self, values: list[Any]) -> list[Any]:
        """Texts and numbers have none."""
        return [item for value in values for item in _children(value)]


@dataclass(frozen=True, slots=True)
class Recursive:
    """Every object and list at any depth, the value itself included."""

    def apply(self, values: list[Any]) -> list[Any]:
        """Depth first, as they are written."""
        found = []
        for value in values:
            if children := _children(value):
                found += [value, *self.apply(children)]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """`[start:stop:step]`; an index is the slice of one."""

    start: int | None
    stop: int | None
    step: int
    index: bool

    def apply(self, values: list[Any]) -> list[Any]:
        """Every value must be a list, and the bounds must lie within it."""
        found = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise LookupError(f"a {_kind(value)} is not an array")
            found += self._cut(value)
        return found

    def _cut(self, items: list[Any]) -> list[Any]:
        size = len(items)
        start = self.start or 0
        start += size if start < 0 else 0
        stop = size if self.stop is None else self.stop
        if stop < 0 or (stop == 0 and self.index):
            stop += size
        if start == stop:
            return []
        if not 0 <= start < size:
            raise LookupError(f"array index out of bounds: index {start}, length {size}")
        if not start < stop <= size:
            raise LookupError(f"array index out of bounds: index {stop - 1}, length {size}")
        return items[start : stop : self.step]


@dataclass(frozen=True, slots=True)
class Union:
    """`[0,2]`: what each of several paths leads to, one after the other."""

    paths: tuple[Path, ...]

    def apply(self, values: list[Any]) -> list[Any]:
        """In the order of the paths."""
        return [found for path in self.paths for found in find(path, values)]


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number or boolean within a filter."""

    value: Any

    def apply(self, values: list[Any]) -> list[Any]:
        """Itself, whatever the event holds."""
        return [self.value for _ in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`[?(left operator right)]`, or `[?(left)]` for the items that have the field."""

    left: Path
    operator: str
    right: Path

    def apply(self, values: list[Any]) -> list[Any]:
        """The items of the lists for which the comparison holds."""
        found = []
        for value in values:
            if not isinstance(value, list):
                raise LookupError(f"a {_kind(value)} is not an array and cannot be filtered")
            found += [item for item in value if self._keeps(item)]
        return found

    def _keeps(self, item: Any) -> bool:
        if not self.operator:
            try:
                return bool(find(self.left, [item]))
            except LookupError:
                return False
        left, right = find(self.left, [item]), find(self.right, [item])
        if not left or not right:
            return False
        if len(left) > 1 or len(right) > 1:
            raise LookupError("can only compare one element at a time")
        kinds = {_kind(left[0]), _kind(right[0])}
        if len(kinds) > 1 or (kinds - {"string", "number"} and self.operator not in ("==", "!=")):
            raise LookupError(f"incompatible types for comparison: {sorted(kinds)}")
        return _OPERATORS[self.operator](left[0], right[0])


def find(path: Path, values: list[Any]) -> list[Any]:
    """Everything that the path leads to from each of `values`.

    Raises:
        LookupError: the event has nothing there.
    """
    for node in path:
        values = node.apply(values)
    return values


@lru_cache(maxsize=1024)
def parse(text: str) -> Path:
    """The path in `a.b`, `.a.b`, `{a.b}` or `{.a.b}`.

    Raises:
        ValueError: it is none.
    """
    inner = text
    if text.startswith("{") and text.endswith("}"):
        inner = text[1:-1]
    inner = inner.removeprefix(".")
    if not inner or "{" in inner or "}" in inner:
        raise ValueError("expected a path such as body.repository.name")
    return _parse(f".{inner}")


def _parse(text: str) -> Path:
    nodes: list[Node] = []
    rest = text
    while rest:
        node, rest = _step(rest, nodes)
        if node is not None:
            nodes.append(node)
    return tuple(nodes)


def _step(text: str, before: Sequence[Node]) -> tuple[Node | None, str]:
    """The node that `text` begins with, and what follows."""
    if text.startswith("[?("):
        return _filter(text)
    if text.startswith(".."):
        if before and isinstance(before[-1], Recursive):
            raise ValueError("invalid multiple recursive descent")
        following = text[2:]
        return Recursive(), f".{following}" if following[:1].isalnum() else following
    head = text[0]
    if head in " @$":
        return None, text[1:]
    if head == "[":
        inside, closed, following = text[1:].partition("]")
        if not closed:
            raise ValueError("unterminated array")
        return _brackets(inside, following)
    if head in "'\"":
        return _quoted(text)
    if head == ".":
        match = _FIELD.match(text, 1)
        name = match[0] if match else ""
        node: Node = Wildcard() if name == "*" else Field(name.replace("\\", ""))
        # client-go reads `a.[0]` as a field with an empty name; it means the same as `a[0]`.
        return (node if name else None), text[1 + len(name) :]
    return _literal(text)


def _brackets(inside: str, following: str) -> tuple[Node | None, str]:
    if "," in inside:
        paths = tuple(_parse(f"[{part.strip()}]") for part in inside.split(","))
        return Union(paths), following
    if key := _DICT_KEY.fullmatch(inside):
        # As in client-go a dot within the quotes parts names, unless a backslash is before it.
        return Union((_parse(f".{key[1]}"),)) if key[1] else None, following
    match = _SLICE.fullmatch(":" if inside == "*" else inside)
    if match is None or not inside:
        raise ValueError(f"invalid array index {inside}")
    start = int(match[1]) if match[1] else None
    index = match[2] is None
    stop = _bound(match[2])
    step = _bound(match[3])
    if step is not None and step <= 0:
        raise ValueError("the step of a slice must be greater than 0")
    if index:
        stop = (start or 0) + 1
    return Slice(start=start, stop=stop, step=step or 1, index=index), following


def _bound(text: str | None) -> int | None:
    return int(text[1:]) if text and len(text) > 1 else None


def _filter(text: str) -> tuple[Node, str]:
    quote = ""
    for position, letter in enumerate(text[3:], start=3):
        if quote:
            quote = "" if letter == quote and text[position - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter == ")":
            break
    else:
        raise ValueError("unterminated filter")
    inside, following = text[3:position], text[position + 1 :]
    if not following.startswith("]"):
        raise ValueError("unclosed array, expected ]")
    match = _COMPARISON.fullmatch(inside)
    if match is None:
        return Filter(left=_parse(inside), operator="", right=()), following[1:]
    if match[2] not in _OPERATORS:
        raise ValueError(f"unrecognized filter operator {match[2]}")
    left, right = _parse(match[1]), _parse(match[3])
    return Filter(left=left, operator=match[2], right=right), following[1:]


def _quoted(text: str) -> tuple[Node, str]:
    match = re.match(r"""(['"])((?:\\.|(?!\1).)*)\1""", text)
    if match is None:
        raise ValueError("unterminated quoted string")
    return Literal(re.sub(r"\\(.)", r"\1", match[2])), text[match.end() :]


def _literal(text: str) -> tuple[Node, str]:
    if match := _NUMBER.match(text):
        number = match[0]
        value: Any = float(number) if "." in number else _WholeNumber(number)
        return Literal(value), text[match.end() :]
    match = _FIELD.match(text)
    word = match[0] if match else ""
    if word in ("true", "false"):
        return Literal(word == "true"), text[len(word) :]
    raise ValueError(f"unrecognized {word or text[0]!r} in the path")


class _WholeNumber(int):
    """A number without a point in a filter: client-go refuses to compare it with JSON's floats."""


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", _WholeNumber: "whole number", str: "string", dict: "object"}
    if type(value) in kinds:
        return kinds[type(value)]
    return "array" if isinstance(value, list) else "number"
