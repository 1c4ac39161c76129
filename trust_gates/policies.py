"""A gate's policy from plain data: the keys of touchstone.yaml, without the rest of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

from trust_gates import glossary
from trust_gates.errors import PolicyError
from trust_gates.statistics import Requirement
from trust_gates.verdict import Required

CONFIDENCE = 0.95


def of(gate: str, gates: Mapping[str, Any], *, strict: bool = True, **known: Any) -> Any:
    """The policy of `gate` in `gates`, which is spec.gates of a touchstone.yaml.

    Every key of the gate's part is a field of its `Policy`; `checks` become its requirements. A
    field that holds a list of records can be given flat when there is one:
    `protected: sex, privileged: [f]` for `protected: [{name: sex, privileged: [f]}]`.

    Args:
        strict: refuse keys that are no field; else they are left out (see `unused`).
        known: values that the caller has for fields of that name, where the policy has them.

    Raises:
        PolicyError: the gate is not in it, a key is unknown or absent, or a value does not fit.
    """
    section = _section(gate, gates)
    hints = get_type_hints(import_module(f"trust_gates.{gate}").Policy)
    if strict and (wrong := unused(gate, gates)):
        raise PolicyError(
            f"gates.{gate}: got the key {wrong[0]!r}, expected one of: "
            + ", ".join(sorted(_keys(hints)))
        )
    given = {"confidence": _confidence(gates), **known}
    chosen = {name: value for name, value in given.items() if name in hints}
    chosen["requirements"] = requirements(gate, section)
    try:
        for key, value in section.items():
            if (name := _snake(key)) in hints:
                chosen[name] = _value(value, hints[name], section)
        return import_module(f"trust_gates.{gate}").Policy(**chosen)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"gates.{gate}: {error}") from None


def requirements(gate: str, section: Mapping[str, Any]) -> list[Requirement]:
    """What the `checks` of a gate's part require.

    Raises:
        PolicyError: there is no such list, or one of them is no check.
    """
    if not isinstance(section.get("checks"), list | tuple):
        raise PolicyError(
            f"gates.{gate}.checks is missing, expected a list; [] measures without deciding"
        )
    return [_requirement(gate, check) for check in section["checks"]]


def unused(gate: str, gates: Mapping[str, Any]) -> list[str]:
    """Keys of the gate's part that have a value but are no field of its policy."""
    hints = get_type_hints(import_module(f"trust_gates.{gate}").Policy)
    section = _section(gate, gates)
    return [key for key in section if _snake(key) not in _keys(hints) and section[key]]


def _section(gate: str, gates: Mapping[str, Any]) -> Mapping[str, Any]:
    section = gates.get(gate)
    if not isinstance(section, Mapping):
        raise PolicyError(
            f"got a policy for {', '.join(_declared(gates)) or 'no gate'}, expected one for "
            f"{gate}: {gate}: {{checks: [{{metric: …, atLeast: …}}]}}"
        )
    return section


def _declared(gates: Mapping[str, Any]) -> list[str]:
    return [name for name in glossary.GATES if isinstance(gates.get(name), Mapping)]


def _confidence(gates: Mapping[str, Any]) -> float:
    """What each gate decides at, so that all that estimate are right together (Bonferroni)."""
    estimating = [name for name in _declared(gates) if name != "integrity"]
    whole = gates.get("confidence", CONFIDENCE)
    if not isinstance(whole, float) or not 0.5 < whole < 1:
        raise PolicyError(f"gates.confidence: got {whole!r}, expected a number from 0.5 to 1")
    return 1 - (1 - whole) / len(estimating)


def _keys(hints: Mapping[str, Any]) -> set[str]:
    """What may stand in a gate's part: its policy's fields, and those of records given flat."""
    flat = {f.name for hint in hints.values() if (r := _record(hint)) for f in fields(r)}
    return {"checks"} | flat | set(hints) - {"requirements", "confidence", "seed"}


def _record(hint: Any) -> Any:
    """The dataclass that a field holds a list of, other than requirements; None of any other."""
    (item,) = get_args(hint) if len(get_args(hint)) == 1 else (None,)
    return item if is_dataclass(item) and item is not Requirement else None


def _value(value: Any, hint: Any, section: Mapping[str, Any]) -> Any:
    record = _record(hint)
    if record is None:
        return _plain(value) if _numbers(hint) else value
    names = [field.name for field in fields(record)]
    if isinstance(value, str):
        value = [{names[0]: value} | {name: section[name] for name in names if name in section}]
    return [record(**item) for item in value]


def _numbers(hint: Any) -> bool:
    """Whether fractions may be written for it: a class can be named 1/2, a budget cannot."""
    return hint is float or any(_numbers(part) for part in get_args(hint))


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()


def _requirement(gate: str, check: Any) -> Requirement:
    given = {k: v for k, v in check.items() if v is not None} if isinstance(check, Mapping) else {}
    metric = given.pop("metric", None)
    match given:
        case {"atLeast": low} if len(given) == 1:
            low, high = _plain(low), math.inf
        case {"atMost": high} if len(given) == 1:
            low, high = -math.inf, _plain(high)
        case {"within": [low, high]} if len(given) == 1:
            low, high = _plain(low), _plain(high)
        case _:
            metric = None
    if not isinstance(metric, str) or not all(isinstance(b, int | float) for b in (low, high)):
        raise PolicyError(
            f"gates.{gate}.checks: got {check!r}, expected {{metric: NAME}} with exactly one of "
            "atLeast: number, atMost: number, within: [low, high]"
        )
    try:
        return Requirement(metric=metric, required=Required(low=low, high=high))
    except ValueError as error:
        raise PolicyError(f"gates.{gate}.checks: {metric}: {error}") from None


def _plain(value: Any) -> Any:
    """`8/255` as a number, in lists too; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?\s*/\s*[1-9]\d*", value):
        above, below = value.split("/")
        return float(above) / int(below)
    return value
