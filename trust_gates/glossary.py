"""Every figure of every gate in words, for the reports; each stands in `<gate>/metrics.py`."""

from __future__ import annotations

import math
from importlib import import_module
from types import ModuleType

from trust_gates import GATES
from trust_gates.metric import Metric, plain
from trust_gates.verdict import Check, Outcome
from trust_gates.written import number, span

_GATES: dict[str, ModuleType] = {
    name: import_module(f"trust_gates.{name}.metrics") for name in GATES
}

METRICS: dict[str, Metric] = {
    metric.name: metric for gate in _GATES.values() for metric in gate.METRICS
}


def of_gate(gate: str) -> tuple[Metric, ...]:
    """The metrics of one of Touchstone's gates."""
    found: tuple[Metric, ...] = _GATES[gate].METRICS
    return found


def question(gate: str) -> str:
    """What the gate answers; empty for a gate that is not Touchstone's own."""
    return str(_GATES[gate].QUESTION) if gate in _GATES else ""


def metric(name: str) -> Metric | None:
    """The metric of a check; one of a single comparison among several is `metric[comparison]`."""
    return METRICS.get(plain(name))


def meaning(name: str) -> str:
    """The metric in words, with its ideal; empty where it speaks for itself."""
    return str(metric(name) or "")


def sentence(check: Check) -> str:
    """The check in a sentence for who knows neither the figure nor statistics."""
    known = metric(check.name)
    what = known.meaning if known else plain(check.name).replace("_", " ")
    compared = check.name.partition("[")[2].removesuffix("]")
    where = f" ({compared})" if compared else ""
    return f"{what[:1].upper()}{what[1:]}{where}: {shown(check)}."


def shown(check: Check) -> str:
    """What was measured and what that says of the requirement, within a sentence."""
    low, high, required = check.interval.low, check.interval.high, check.required
    if math.isnan(check.measured):
        return "it could not be measured here, and what cannot be measured does not pass"
    got, asked = number(check.measured), required.words
    if math.isnan(low) or math.isnan(high):
        return f"{got}, but how far that can be trusted is unknown; required is {asked}"
    if low == high:
        return f"{got}; required is {asked}"
    possible = f"{got}; {check.samples} samples leave {span(low, high)} possible"
    match check.outcome:
        case Outcome.PASSED:
            return f"{possible}, all of it within what is required ({asked})"
        case Outcome.FAILED:
            return f"{possible}, none of it within what is required ({asked})"
    if low in required and high in required:
        return f"{possible}, but so few do not decide ({asked} is required)"
    return f"{possible}, and only a part of it is within what is required ({asked})"


def advice(check: Check) -> str:
    """What to do about a check that did not pass; empty where it did, or its reason says it all."""
    if check.samples_needed is not None:
        return f"Judge it on about {check.samples_needed} samples."
    known = metric(check.name)
    return known.advice if known and check.outcome is Outcome.FAILED else ""
