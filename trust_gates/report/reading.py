"""A verdict document as people read it: the same parts in the same order, whatever the format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trust_gates import glossary
from trust_gates.report import card
from trust_gates.report.asked import Yardstick, evaluated, place
from trust_gates.verdict import Check, Outcome, Table

NOT_A_NUMBER = "not a number"
_NAMES = ("run", "commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure that no check requires."""

    name: str
    value: float | None
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture by its file name, and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What one gate found."""

    name: str
    question: str
    checks: Sequence[Check]
    figures: Sequence[Figure]
    pictures: Sequence[Picture]
    tables: Sequence[Table]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a report says, most important first."""

    verdict: Mapping[str, Any]
    """The document itself."""

    passed: bool
    yardstick: Yardstick
    """What was asked: it stands before everything that was found."""

    checks: Sequence[Check]
    decisive: Sequence[Check]
    """What refused the model; or, of a passed one, each gate's closest call."""

    gates: Sequence[Gate]
    other_pictures: Sequence[Picture]
    """Those that belong to no gate by name; none is lost."""

    remedy: str
    """What was done about the verdict before; empty where this is the first."""

    remedied: Sequence[tuple[Check | None, Check]]
    """Every check before the remedy, where there was one of that name, and after it."""

    card: Sequence[card.Topic]
    judged: Sequence[tuple[str, str]]
    """Every name, digest and seed that `yardstick` does not have, so that anyone can repeat it."""

    @classmethod
    def of(cls, verdict: Mapping[str, Any], pictures: Iterable[str]) -> Report:
        """Read a verdict document; pictures by file name belong to the gate they begin with."""
        checks = [Check.from_json(check) for check in verdict["checks"]]
        told = (*verdict["evidence"], *verdict["figures"], *(check.gate for check in checks))
        names = dict.fromkeys(told)
        files = list(pictures)
        gates = [_gate(name, verdict, checks, files) for name in sorted(names, key=place)]
        shown = {picture.file for gate in gates for picture in gate.pictures}
        return cls(
            verdict=verdict,
            passed=verdict["passed"] is True,
            yardstick=Yardstick.of(verdict),
            checks=[check for gate in gates for check in gate.checks],
            decisive=_decisive(gates),
            gates=gates,
            other_pictures=[_picture(file, verdict) for file in files if file not in shown],
            remedy=verdict.get("previous", {}).get("remedy", ""),
            remedied=_remedied(verdict, checks),
            card=card.topics(verdict, checks),
            judged=[
                *((name, str(verdict[name])) for name in _NAMES if name in verdict),
                *((f"seed: {k}", str(v)) for k, v in verdict.get("seeds", {}).items()),
                *((f"evidence: {k}", str(v)) for k, v in verdict["evidence"].items()),
                *((f"version: {k}", v) for k, v in verdict.get("software", {}).items()),
            ],
        )

    @property
    def title(self) -> str:
        """The verdict in a few words."""
        name = self.verdict.get("name", "")
        return f"{name or 'Trust report'}: {'passed' if self.passed else 'refused'}"

    @property
    def summary(self) -> str:
        """How many checks came out how, in one sentence."""
        passed = sum(check.outcome is Outcome.PASSED for check in self.checks)
        return f"{passed} of {len(self.checks)} checks passed."

    def meaning(self, check: Check) -> str:
        """The check's metric in words, and whose data it rests on where not the author's."""
        own = evaluated(self.verdict, check.name)
        whose = "on the organisation's own evaluation data" if own else ""
        return "; ".join(filter(None, (glossary.meaning(check.name), whose)))


def _remedied(
    verdict: Mapping[str, Any], checks: Sequence[Check]
) -> list[tuple[Check | None, Check]]:
    if "previous" not in verdict:
        return []
    found = [Check.from_json(check) for check in verdict["previous"]["checks"]]
    before = {(check.gate, check.name): check for check in found}
    return [(before.get((check.gate, check.name)), check) for check in checks]


def number(value: float | None) -> str:
    """Four significant digits; what is no number says so."""
    if value is None or math.isnan(value):
        return NOT_A_NUMBER
    return f"{value:.4g}"


def cell(value: str | float | None) -> str:
    """One value of a table: None is a dash."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else number(value)


def interval(check: Check) -> str:
    """The interval that decided, in words."""
    low, high = check.interval.low, check.interval.high
    if math.isnan(low) or math.isnan(high):
        return "undefined"
    return "exact" if low == high else f"{low:.3f} to {high:.3f}"


def _gate(
    name: str, verdict: Mapping[str, Any], checks: Sequence[Check], files: Sequence[str]
) -> Gate:
    own = [check for check in checks if check.gate == name]
    required = {check.name for check in own}
    figures = verdict.get("figures", {}).get(name, {})
    return Gate(
        name=name,
        question=glossary.question(name),
        checks=own,
        figures=[
            Figure(name=key, value=value, meaning=glossary.meaning(key))
            for key, value in figures.items()
            if key not in required
        ],
        pictures=[_picture(file, verdict) for file in files if file.startswith(name)],
        tables=[Table.from_json(table) for table in verdict.get("tables", {}).get(name, [])],
        notes=verdict.get("notes", {}).get(name, []),
    )


def _picture(file: str, verdict: Mapping[str, Any]) -> Picture:
    title = file.removesuffix(".png")
    return Picture(file=file, caption=verdict.get("captions", {}).get(title, title))


def _decisive(gates: Sequence[Gate]) -> list[Check]:
    checks = [check for gate in gates for check in gate.checks]
    refused = [check for check in checks if check.outcome is not Outcome.PASSED]
    if refused:
        return refused
    # A count that must be 0 and is 0 was no close call: only what was estimated has a margin.
    estimated = [[c for c in gate.checks if c.interval.low < c.interval.high] for gate in gates]
    return [min(found, key=_margin) for found in estimated if found]


def _margin(check: Check) -> float:
    """How far the interval stays from the border of what is required."""
    return min(
        check.interval.low - check.required.low,
        check.required.high - check.interval.high,
    )
