"""The rounds of a refused model: what it is offered, and which round a run may be.

Round 0 is the model as its repository declares it. Every further round is one run of the same
commit, with the remedies that the verdict before it offered, on splits drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.artifacts.store import Store
from touchstone.contract.model_repo import Spec
from touchstone.errors import UsageError
from trust_gates.gates import Gates


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Which try at a commit a run is."""

    number: int = 0
    remedies: Mapping[str, str] = field(default_factory=dict)
    """The method by the gate that it is a remedy for."""

    previous: Mapping[str, Any] = field(default_factory=dict)
    """The document of the verdict that offered them; empty in round 0."""

    digest: str = ""
    """Of that document."""

    def to_json(self) -> dict[str, Any]:
        """Its part of a verdict document: `previous` is what the report shows as before."""
        document: dict[str, Any] = {"round": self.number, "remedies": dict(self.remedies)}
        if self.number:
            document["previous"] = {
                "verdict": self.digest,
                "run": self.previous["run"],
                "remedy": ", ".join(self.remedies.values()),
                "checks": self.previous["checks"],
            }
        return document


def remedied(spec: Spec, gates: Iterable[str]) -> Spec:
    """What a round trains by that applies the remedies for these gates."""
    remedy, applied = spec.remedy, set(gates)
    changes: dict[str, Any] = {}
    if remedy and remedy.fairness and "fairness" in applied:
        changes["mitigation"] = remedy.fairness
    if remedy and remedy.robustness and "robustness" in applied:
        changes["defences"] = (*spec.train.defences, remedy.robustness)
    return spec.model_copy(update={"train": spec.train.model_copy(update=changes)})


def judged_by(spec: Spec) -> Gates:
    """The gates, at the confidence that each single verdict needs.

    Bonferroni: a wrong model has as many chances to pass as the remedy makes models, and
    `gates.confidence` is to hold for all of them together.
    """
    if spec.remedy is None:
        return spec.gates
    error = (1 - spec.gates.confidence) / spec.remedy.models
    return spec.gates.model_copy(update={"confidence": 1 - error})


def offered(spec: Spec, current: Round, refused: set[str]) -> dict[str, str]:
    """The remedies of the round after `current`, whose gates `refused` the model; empty for none.

    Nothing is offered where one of those gates has no remedy, since the next try could not pass
    either. What was applied stays: a model that reweighing made fair is not made unfair again to
    become robust.
    """
    declared = spec.remedy.methods if spec.remedy else {}
    if not refused or current.number >= spec.max_rounds or not refused <= set(declared):
        return {}
    return {**current.remedies, **{gate: declared[gate] for gate in sorted(refused)}}


def written(remedies: Mapping[str, str]) -> str:
    """As a param of the pipeline has it: `fairness=reweighing,robustness=…`."""
    return ",".join(f"{gate}={method}" for gate, method in sorted(remedies.items()))


def read(text: str) -> dict[str, str]:
    """The inverse of `written`. Raises UsageError for any other text."""
    pairs = [item.partition("=") for item in text.split(",")] if text else []
    remedies = {gate: method for gate, _, method in pairs}
    if written(remedies) != text or not all(gate and method for gate, _, method in pairs):
        raise UsageError(f"got the remedy {text!r}, expected such as fairness=reweighing")
    return remedies


def admit(
    spec: Spec, store: Store, *, source: str, number: int, remedy: str, previous: str
) -> Round:
    """The round that a run's params name, where it is due.

    Args:
        source: digest of the model repository's tree, which both rounds must have.
        remedy: as `written`.
        previous: digest of the verdict before.

    Raises:
        UsageError: it is not the next round of what a verdict refused and offered this for, or
            one too many.
    """
    remedies = read(remedy)
    if number == 0:
        if remedies or previous:
            raise UsageError("got a remedy for round 0, expected one from round 1 on")
        return Round()
    if not 0 < number <= spec.max_rounds:
        raise UsageError(
            f"got round {number}, expected at most {spec.max_rounds}",
            hint="spec.remedy.maxRounds of touchstone.yaml says how often",
        )
    found = _verdict(store, previous)
    expected = {"passed": False, "source": source, "round": number - 1, "offered": remedies}
    for name, value in expected.items():
        if not remedies or found.get(name) != value:
            raise UsageError(
                f"the verdict {previous} before round {number} says {name}={found.get(name)!r},"
                f" expected {value!r}",
                hint="a round is started by the event of the run that was refused",
            )
    return Round(number=number, remedies=remedies, previous=found, digest=previous)


def _verdict(store: Store, digest: str) -> dict[str, Any]:
    try:
        document = store.get_json(digest)
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("kind") != "Verdict":
        raise UsageError(f"got {digest!r} as the verdict before, which is none")
    return document
