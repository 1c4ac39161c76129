"""Every figure of every gate in words, for the reports; each stands in `<gate>/metrics.py`."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from trust_gates import GATES
from trust_gates.metric import Metric, plain
from trust_gates.verdict import Check, Outcome

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


def advice(check: Check) -> str:
    """What to do about a check that did not pass; empty where it did, or its reason says it all."""
    if check.samples_needed is not None:
        return f"Judge it on about {check.samples_needed} samples."
    known = metric(check.name)
    return known.advice if known and check.outcome is Outcome.FAILED else ""
