"""A gate's policy from plain data: the keys of touchstone.yaml, without the rest of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from trust_gates import glossary
from trust_gates.errors import PolicyError
from trust_gates.statistics import Requirement
from trust_gates.verdict import Required

CONFIDENCE = 0.95


def of(gate: str, gates: Mapping[str, Any], *, seed: int = 0) -> Any:
    """The policy of `gate` in `gates`, which is spec.gates of a touchstone.yaml.

    Every key of the gate's part is a field of its `Policy`; `checks` become its requirements.

    Raises:
        PolicyError: the gate is not in it, a key is unknown or absent, or a value does not fit.
    """
    section = gates.get(gate)
    if not isinstance(section, Mapping):
        named = [name for name in gates if name in glossary.GATES]
        raise PolicyError(
            f"got a policy for {', '.join(named) or 'no gate'}, expected one for {gate}: "
            f"{gate}: {{checks: [{{metric: …, atLeast: …}}]}}"
        )
    cls = import_module(f"trust_gates.{gate}").Policy
    known = {field.name for field in fields(cls)}
    values = {"confidence": gates.get("confidence", CONFIDENCE), "seed": seed}
    chosen = {name: value for name, value in values.items() if name in known}
    for key, value in section.items():
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
        if name == "checks":
            chosen["requirements"] = [_requirement(gate, check) for check in value or ()]
        elif name in known:
            chosen[name] = _plain(value)
        else:
            raise PolicyError(
                f"gates.{gate}: got the key {key!r}, expected one of: "
                + ", ".join(sorted({"checks"} | known - {"requirements", *values}))
            )
    try:
        return cls(**chosen)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"gates.{gate}: {error}") from None


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
