"""Every figure of every gate in words; read by touchstone.yaml's checks and by the reports.

Pure data: importing it costs nothing. A gate has one file here, beside its package.
"""

from __future__ import annotations

from trust_gates.glossary import explainability, fairness, integrity, quality, robustness
from trust_gates.metric import Metric

GATES = {
    "quality": quality,
    "robustness": robustness,
    "fairness": fairness,
    "explainability": explainability,
    "integrity": integrity,
}
"""By the gate's name, in the order of a report."""

METRICS: dict[str, Metric] = {
    metric.name: metric for gate in GATES.values() for metric in gate.METRICS
}


def question(gate: str) -> str:
    """What the gate answers; empty for a gate that is not Touchstone's own."""
    return GATES[gate].QUESTION if gate in GATES else ""


def meaning(metric: str) -> str:
    """The metric in words, with its ideal; empty where it speaks for itself.

    A check of one comparison among several is named `metric[comparison]`.
    """
    metric = metric.partition("[")[0]
    return str(METRICS[metric]) if metric in METRICS else ""
