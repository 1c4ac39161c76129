"""What does each $(...) reference stand for, and in which pass is it replaced?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from touchstone.errors import ManifestError

Value: TypeAlias = "str | list[str] | dict[str, str]"
"""A param's or result's value: string, array or object."""

Key: TypeAlias = tuple[str, ...]
"""A reference taken apart: ("params", "name") for $(params.name) and $(params['name'])."""

_REFERENCE = re.compile(r"\$\(([_a-zA-Z0-9.\-\[\]'\"*]+)\)")
_ALONE = re.compile(r"\$\([_a-zA-Z0-9.-]+(\[(\d+|\*)\])?\)")
"""A string for which Tekton takes a whole array or object; not with the name in brackets."""

_EXPANSION = re.compile(r"\$(?:\$|\(([^)]*)\))")
_TOKEN = re.compile(r"""\.?([^.\[\]'"]+)|\['([^']+)'\]|\["([^"]+)"\]|(\[(?:\d+|\*)\])""")


def parse(expression: str) -> Key | None:
    """The reference inside $(...) taken apart, or None where it has no such form."""
    tokens, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if not match:
            return None
        tokens.append(next(group for group in match.groups() if group is not None))
        position = match.end()
    return tuple(tokens)


def references(value: Any) -> Iterator[Key]:
    """Every reference in the strings of `value`, however deep, keys of maps left out."""
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            key = parse(match[1])
            if key:
                yield key
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def plain_references(text: str) -> list[Key]:
    """The references of a string that have no name in brackets."""
    found = [parse(match[0][2:-1]) for match in _ALONE.finditer(text)]
    return [key for key in found if key]


class Scope:
    """The values known at one place of a run; what it does not know is left as it stands.

    Tekton replaces in passes, each of which reads what the last one left and never what it wrote
    itself: params, then contexts, then results and workspaces. So a reference that a value brings
    along is replaced by a later pass and stays as text for its own. `then` adds a pass.
    """

    def __init__(self, values: Mapping[Key, Value] | None = None, *, parts: bool = True) -> None:
        """One pass; without `parts` it knows arrays as a whole and none of their items."""
        self._passes = [_Pass(dict(values), parts)] if values else []

    def then(self, other: Scope) -> Scope:
        """A scope that goes on with the passes of `other`."""
        both = Scope()
        both._passes = [*self._passes, *other._passes]
        return both

    def find(self, key: Key) -> Value | None:
        """The value of a reference, None where it is not known here.

        Raises ManifestError for an index out of range.
        """
        for index, one in enumerate(self._passes):
            found = one.find(key)
            if found is not None:
                later = Scope()
                later._passes = self._passes[index + 1 :]
                return later.apply(found)  # type: ignore[no-any-return]
        return None

    def apply(self, value: Any) -> Any:
        """`value` with every known reference replaced, as Tekton replaces in a param's value.

        A string that is nothing but a whole array or object becomes that array or object; as an
        item of a list, an array takes the place of the item. Deeper down there are only strings.
        Raises ManifestError for an index out of range.
        """
        for one in self._passes:
            value = one.apply(value)
        return value

    def text(self, value: str) -> str:
        """`value` with every known reference to a string replaced. Raises as `apply` does."""
        for one in self._passes:
            value = one.text(value)
        return value


class _Pass(NamedTuple):
    values: dict[Key, Value]
    parts: bool

    def find(self, key: Key) -> Value | None:
        if key[:2] == ("inputs", "params"):
            key = key[1:]  # as params were called before v1, and may still be
        if key in self.values:
            return self.values[key]
        holder, last = self.values.get(key[:-1]), key[-1]
        if isinstance(holder, dict):
            return holder if last == "[*]" else holder.get(last)
        if not isinstance(holder, list) or not last.startswith("["):
            return None
        if last == "[*]":
            return holder
        index = int(last[1:-1])
        if self.parts and index >= len(holder):
            raise ManifestError(
                f"got index {index} of {_text(key[:-1])}, expected less than {len(holder)}"
            )
        return holder[index] if self.parts else None

    def apply(self, value: Any) -> Any:
        if isinstance(value, str):
            found = self._whole(value) if _ALONE.fullmatch(value) else None
            return self.text(value) if found is None else found
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                array = self._whole(item) if isinstance(item, str) else None
                items += array if isinstance(array, list) else [self.deep(item)]
            return items
        return self.deep(value)

    def deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.deep(item) for key, item in value.items()}
        return [self.deep(item) for item in value] if isinstance(value, list) else value

    def text(self, value: str) -> str:
        return _REFERENCE.sub(self._inside, value) if "$(" in value else value

    def _whole(self, value: str) -> Value | None:
        """The array or object that the reference stands for; None for whatever else `value` is."""
        match = _REFERENCE.fullmatch(value) if value.startswith("$(") else None
        key = parse(match[1]) if match else None
        found = self.find(key) if key else None
        return None if isinstance(found, str) else found

    def _inside(self, match: re.Match[str]) -> str:
        key = parse(match[1])
        found = self.find(key) if key else None
        return found if isinstance(found, str) else match[0]


def scope_of(prefix: Key, values: Mapping[str, Value]) -> Scope:
    """A scope in which each name of `values` is known as `prefix` + name."""
    return Scope({(*prefix, name): value for name, value in values.items()})


def expand_environment(value: str, environment: Mapping[str, str]) -> str:
    """Kubernetes' own expansion: $(NAME) from the step's environment, and $$ is a plain $."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] is None else environment.get(match[1], match[0])

    return _EXPANSION.sub(replace, value)


def walk_strings(value: Any, visit: Callable[[str, tuple[str | int, ...]], None]) -> None:
    """Call `visit(text, path)` for every string in `value`."""

    def step(item: Any, path: tuple[str | int, ...]) -> None:
        if isinstance(item, str):
            visit(item, path)
        elif isinstance(item, Mapping):
            for key, inner in item.items():
                step(inner, (*path, key))
        elif isinstance(item, list):
            for index, inner in enumerate(item):
                step(inner, (*path, index))

    step(value, ())


def _text(key: Key) -> str:
    return ".".join(key)
