"""A verdict document as people read it: the same parts in the same order, whatever the format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trust_gates import glossary
from trust_gates.report import card
from trust_gates.report.asked import Yardstick, evaluated, place
from trust_gates.verdict import Check, Outcome, Table, decisive
from trust_gates.written import number, value

_NAMES = ("run", "commit")
_VERDICTS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "refused",
    Outcome.INSUFFICIENT: "refused for want of evidence",
}


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
    """What refused the model, failed checks first; of a passed one, each gate's closest call."""

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
            remedied=_remedied(verdict, [check for gate in gates for check in gate.checks]),
            card=card.topics(verdict, checks),
            judged=[
                *((name, str(verdict[name])) for name in _NAMES if name in verdict),
                *((f"seed: {k}", value(v)) for k, v in verdict.get("seeds", {}).items()),
                *((f"evidence: {k}", str(v)) for k, v in verdict["evidence"].items()),
                *((f"version: {k}", v) for k, v in verdict.get("software", {}).items()),
                *_packages(verdict.get("packages", {})),
            ],
        )

    @property
    def title(self) -> str:
        """The verdict in a few words."""
        name = self.verdict.get("name") or "Trust report"
        return f"{name}: {_VERDICTS[self.outcome]}"

    @property
    def outcome(self) -> Outcome:
        """The verdict as one outcome: whoever reads `refused` wants to know why at once."""
        if self.passed:
            return Outcome.PASSED
        return Outcome.FAILED if self.count(Outcome.FAILED) else Outcome.INSUFFICIENT

    @property
    def summary(self) -> str:
        """How many checks came out how, in one sentence."""
        return f"{self.count(Outcome.PASSED)} of {len(self.checks)} checks passed."

    @property
    def standing(self) -> str:
        """What that means for whoever decides, in a sentence."""
        if self.passed:
            return "Every check passed; these came closest to their limit."
        failed, open_ = self.count(Outcome.FAILED), self.count(Outcome.INSUFFICIENT)
        told = [f"{_checks(failed)} failed"] * bool(failed)
        told += [f"{_checks(open_)} lack{'s' * (open_ == 1)} evidence"] * bool(open_)
        if not self.checks:
            return "There is no check, so nothing was shown."
        if not told:
            return "Every check passed, but the verdict did not: it is not to be trusted."
        more = (
            "" if failed else "; nothing speaks against the model, but it was not shown to be good"
        )
        return f"{' and '.join(told)}{more}."

    @property
    def legend(self) -> Sequence[tuple[Outcome, str]]:
        """What each outcome that occurs means, in a sentence."""
        return [(one, one.meaning) for one in Outcome if self.count(one)]

    def count(self, outcome: Outcome) -> int:
        """How many checks came out so."""
        return sum(check.outcome is outcome for check in self.checks)

    def meaning(self, check: Check) -> str:
        """The check's metric in words, and whose data it rests on where not the author's."""
        return "; ".join(filter(None, (glossary.meaning(check.name), self.whose(check))))

    def whose(self, check: Check) -> str:
        """Whose data the check rests on; empty where they are the author's."""
        own = evaluated(self.verdict, check.name)
        return "on the organisation's own evaluation data" if own else ""


def _remedied(
    verdict: Mapping[str, Any], checks: Sequence[Check]
) -> list[tuple[Check | None, Check]]:
    if "previous" not in verdict:
        return []
    found = [Check.from_json(check) for check in verdict["previous"]["checks"]]
    before = {(check.gate, check.name): check for check in found}
    return [(before.get((check.gate, check.name)), check) for check in checks]


def cell(given: str | float | None) -> str:
    """One value of a table: None is a dash."""
    return "–" if given is None else value(given)


def interval(check: Check) -> str:
    """The interval that decided, in words."""
    low, high = check.interval.low, check.interval.high
    if math.isnan(low) or math.isnan(high):
        return "undefined"
    return "exact" if low == high else f"{_bound(low)} to {_bound(high)}"


def _bound(value: float) -> str:
    """Three decimals, or more digits where these would hide it."""
    return f"{value:.3f}" if 0.001 <= abs(value) < 1e6 else number(value, 3)


def _packages(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the model repository brought besides."""
    if told:
        yield "packages", str(told["digest"])
        yield from ((f"package: {name}", str(one)) for name, one in told["versions"].items())


def _gate(
    name: str, verdict: Mapping[str, Any], checks: Sequence[Check], files: Sequence[str]
) -> Gate:
    own = sorted((c for c in checks if c.gate == name), key=lambda c: c.outcome.rank)
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
    refused = [check for check in decisive(checks) if check.outcome is not Outcome.PASSED]
    if refused:
        return refused
    # A count that must be 0 and is 0 was no close call: only what was estimated has a margin.
    estimated = [[c for c in gate.checks if c.interval.low < c.interval.high] for gate in gates]
    return [decisive(found)[0] for found in estimated if found]


def _checks(count: int) -> str:
    return f"{count} check{'s' * (count != 1)}"
