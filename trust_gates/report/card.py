"""The model card: what IBM's AI FactSheets ask of every model, answered from the run.

The headings are those of Arnold et al., "FactSheets: Increasing trust in AI services through
supplier's declarations of conformity" (2019). Free text is the model repository's own word
(`spec.card` of touchstone.yaml); figures come from the run and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trust_gates import written
from trust_gates.verdict import GRAPH, UNCONFINED, Check

NOT_STATED = "not stated"
NOT_RECORDED = "not recorded"
_JUDGED = {
    "Evaluation": "quality",
    "Robustness": "robustness",
    "Fairness": "fairness",
    "Explainability": "explainability",
    "Integrity and lineage": "integrity",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One heading of the card and its facts, each a label and a text."""

    heading: str
    facts: Sequence[tuple[str, str]]

    judged: bool = False
    """Whether it is what a gate found, which every report shows elsewhere as well."""


def topics(verdict: Mapping[str, Any], checks: Sequence[Check]) -> list[Topic]:
    """The card of the model that the verdict judged."""
    stated, facts = verdict.get("card", {}), verdict.get("facts", {})

    def words(**labels: str) -> list[tuple[str, str]]:
        return [(label, stated.get(key) or NOT_STATED) for key, label in labels.items()]

    return [
        Topic(
            heading="Purpose and intended use",
            facts=words(purpose="Purpose", intendedUse="Intended use", domain="Domain"),
        ),
        Topic(heading="Data", facts=[*words(data="Origin"), *_data(verdict, facts)]),
        Topic(heading="Model and training", facts=_training(verdict, facts)),
        *(
            Topic(heading=heading, facts=_judged(gate, verdict, checks), judged=True)
            for heading, gate in _JUDGED.items()
        ),
        Topic(
            heading="Limits",
            facts=words(
                limits="Limits", optimalConditions="Works best", poorConditions="Works badly"
            ),
        ),
        Topic(
            heading="Ownership",
            facts=words(owner="Owner", contact="Contact", license="License"),
        ),
    ]


def _data(verdict: Mapping[str, Any], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Source", facts.get("uri") or NOT_RECORDED),
        ("Samples", _pairs(facts.get("samples", {}))),
        *_classes(facts),
        (
            "Protected attributes",
            "; ".join(f"{k}: {', '.join(v)}" for k, v in facts.get("protected", {}).items())
            or NOT_RECORDED,
        ),
        ("Dataset digest", verdict.get("dataset") or verdict.get("data") or NOT_RECORDED),
    ]


def _classes(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A regression has none: its answer is a number."""
    if facts.get("task") == "regression":
        return []
    return [("Classes", ", ".join(facts.get("classes", [])) or NOT_RECORDED)]


def _training(verdict: Mapping[str, Any], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Task", facts.get("task", NOT_RECORDED)),
        ("Inputs", _inputs(facts.get("inputs", {}))),
        ("Network", facts.get("entrypoint", NOT_RECORDED)),
        ("Hyperparameters", _pairs(facts.get("parameters", {}))),
        ("Training", _pairs(facts.get("training", {}))),
        ("Figures while training", _pairs(facts.get("metrics", {}))),
        ("Judged as", _asked(verdict.get("askedAs", {}))),
        ("Model digest", verdict.get("model", NOT_RECORDED)),
        ("Code", verdict.get("commit", NOT_RECORDED)),
    ]


def _asked(how: Mapping[str, str]) -> str:
    """How the gates asked the model: as data, or what kept its code from the verdict."""
    ways = set(how.values()) - {""}
    if how and not ways:
        return "its files or its recorded answers alone: the model was not asked"
    words = {
        GRAPH: "a graph of operators: no code of the model repository ran where it was judged",
        UNCONFINED: "its own code, unconfined: it could have made its own verdict",
    }
    return "; ".join(words.get(way, f"its own code, {way}") for way in sorted(ways)) or NOT_RECORDED


def _inputs(inputs: Mapping[str, Any]) -> str:
    if not inputs:
        return NOT_RECORDED
    shape = " × ".join(str(side) for side in inputs.get("shape", []))
    low, high = written.number(inputs["low"]), written.number(inputs["high"])
    text = f"{inputs.get('kind', 'values')} {shape}, from {low} to {high}"
    return f"{text}: {', '.join(inputs['features'])}" if inputs.get("features") else text


def _judged(
    gate: str, verdict: Mapping[str, Any], checks: Sequence[Check]
) -> list[tuple[str, str]]:
    own = sorted((c for c in checks if c.gate == gate), key=lambda c: c.outcome.rank)
    found = [(c.name, f"{c.outcome.value}: {c.reason}") for c in own]
    declared = verdict.get("gates", {}).get(gate)
    why = "its policy is declared, but it was not asked" if declared else "no policy is declared"
    return found or [("Judged", f"no: {why}")]


def _pairs(values: Mapping[str, Any]) -> str:
    return written.pairs(values) or NOT_RECORDED
