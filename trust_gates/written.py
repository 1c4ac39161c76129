"""How is a value written for people? In full, and by no language's notation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

NOT_A_NUMBER = "not a number"
_LEAST, _MOST = -12, 15
"""Powers of ten between which a number is written out: 0.000002 is easily seen to be little, and
2e-06 is easily taken for 2."""


def number(value: float | None, digits: int = 4) -> str:
    """The number to so many significant digits, a whole one as it is; None is not a number."""
    if value is None or math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    if value == int(value) and abs(value) < 10**_MOST:
        return str(int(value))
    rounded = Decimal(f"{value:.{digits}g}")
    if _LEAST <= rounded.adjusted() < _MOST:
        return f"{rounded:f}"
    return f"{rounded.scaleb(-rounded.adjusted()).normalize():f} × 10^{rounded.adjusted()}"


def value(given: Any) -> str:
    """Whatever a JSON document holds, in words: `yes`, `3, 5`, `kind adam, rate 0.01`."""
    match given:
        case None | "":
            return "none"
        case bool():
            return "yes" if given else "no"
        case int() | float():
            return number(given)
        case Mapping():
            return pairs(given) or "none"
        case str():
            return given
        case Sequence():
            return ", ".join(map(_inner, given)) or "none"
    return str(given)


def pairs(given: Mapping[str, Any]) -> str:
    """`key value` of all that is set, one beside the other; empty where nothing is."""
    return ", ".join(f"{key} {_inner(one)}" for key, one in given.items() if one is not None)


def _inner(given: Any) -> str:
    """A value among others: what holds several is kept together."""
    text = value(given)
    return f"({text})" if isinstance(given, Mapping | list | tuple) and text != "none" else text


def span(low: float, high: float, digits: int = 4) -> str:
    """`0.1 to 0.25`, or the one number where both ends are it."""
    ends = number(low, digits), number(high, digits)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
