"""Methods by name with their options, as touchstone.yaml declares them: what fits, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Option = float | int | str


@dataclass(frozen=True, slots=True)
class Method:
    """One published method."""

    stage: str
    """Where it takes hold."""

    source: str
    """The paper."""

    options: Mapping[str, Option] = field(default_factory=dict)
    """With their defaults; given ones must be of the same kind."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What an option in words may be."""

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest of an option in numbers; 0 to a million without an entry."""


def check(methods: Mapping[str, Method], method: str, options: Mapping[str, Option]) -> None:
    """Raise ValueError unless `method` is one of `methods` and its options fit it."""
    if method not in methods:
        raise ValueError(f"got the method {method!r}, expected one of {', '.join(methods)}")
    known = methods[method].options
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"got the option {name!r} of {method}, expected some of {sorted(known) or 'none'}"
            )
        expected = _misfit(methods[method], name, value)
        if expected:
            raise ValueError(f"got {name}={value!r}, expected {expected}")


def _misfit(method: Method, name: str, value: Option) -> str:
    """What the option should have been; empty where it fits."""
    if name in method.choices:
        choices = method.choices[name]
        return "" if value in choices else f"one of {', '.join(choices)}"
    whole = isinstance(method.options[name], int)
    low, high = method.ranges.get(name, (0, 1e6))
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if number and low <= float(value) <= high:
        return ""
    return f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
