"""What does each $(...) reference stand for? One pass, so a value is never read as a reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from touchstone.errors import ManifestError

Value: TypeAlias = "str | list[str] | dict[str, str]"
"""A param's or result's value: string, array or object."""

Key: TypeAlias = tuple[str, ...]
"""A reference taken apart: ("params", "name") for $(params.name) and $(params['name'])."""

_REFERENCE = re.compile(r"\$\(([_a-zA-Z0-9.\-\[\]'\"*]+)\)")
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


class Scope:
    """The values known at one place of a run; what it does not know is left as it stands."""

    def __init__(self, values: Mapping[Key, Value] | None = None) -> None:
        self._values: dict[Key, Value] = dict(values or {})

    def __or__(self, other: Scope) -> Scope:
        """Both scopes; where both know a reference, `other` wins."""
        return Scope({**self._values, **other._values})

    def without(self, root: str) -> Scope:
        """The scope with no reference that begins with `root`, such as `params`."""
        return Scope({key: value for key, value in self._values.items() if key[0] != root})

    def known(self, key: Key) -> Value | None:
        """The value that `key` itself stands for; None also for a part of a value."""
        return self._values.get(key)

    def find(self, key: Key) -> Value | None:
        """The value of a reference, None where it is not known here.

        Raises ManifestError for an index out of range and for [*] on a string.
        """
        if key[:2] == ("inputs", "params"):
            key = key[1:]  # as params were called before v1, and may still be
        if key in self._values:
            return self._values[key]
        holder, last = self._values.get(key[:-1]), key[-1]
        if holder is None:
            return None
        if last == "[*]":
            if isinstance(holder, str):
                raise ManifestError(f"got [*] on the string {_text(key[:-1])}, expected an array")
            return holder
        if isinstance(holder, list) and last.startswith("["):
            index = int(last[1:-1])
            if index >= len(holder):
                raise ManifestError(
                    f"got index {index} of {_text(key[:-1])}, expected less than {len(holder)}"
                )
            return holder[index]
        if isinstance(holder, dict):
            return holder.get(last)
        return None

    def apply(self, value: Any) -> Any:
        """`value` with every known reference replaced, in lists and maps too.

        A string that is nothing but a whole array or object becomes that array or object; as an
        item of a list, an array takes the place of the item.
        """
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, Mapping):
            return {key: self.apply(item) for key, item in value.items()}
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                replaced = self.apply(item)
                if isinstance(item, str) and isinstance(replaced, list):
                    items.extend(replaced)
                else:
                    items.append(replaced)
            return items
        return value

    def text(self, value: str) -> str:
        """`value` with every known reference replaced, where only a string makes sense."""
        replaced = self._string(value)
        if not isinstance(replaced, str):
            raise ManifestError(f"got a whole array or object in {value!r}, expected a string")
        return replaced

    def _string(self, value: str) -> Value:
        if "$(" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            key = parse(whole[1])
            found = self.find(key) if key else None
            if found is None:
                return value
            return found
        return _REFERENCE.sub(self._inside, value)

    def _inside(self, match: re.Match[str]) -> str:
        key = parse(match[1])
        found = self.find(key) if key else None
        if found is None:
            return match[0]
        if not isinstance(found, str):
            raise ManifestError(
                f"got the array or object $({match[1]}) inside a longer string,"
                " expected it to stand alone"
            )
        return found


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
