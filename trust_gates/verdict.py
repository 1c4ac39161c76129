"""The vocabulary shared by every gate: check, evidence, verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from trust_gates.written import number, span

GRAPH = "graph"
"""The model is data: no code of its author ran where it was judged."""

UNCONFINED = "unconfined"
"""The model's code ran with all rights of the process that judged: it could have made its own
verdict, and such a verdict promotes nothing."""

EVIDENCE_FILE = "evidence.json"
"""What a gate found, in a folder with its pictures."""


class Outcome(StrEnum):
    """What became of a check; only `PASSED` promotes."""

    FAILED = "failed"
    INSUFFICIENT = "insufficient evidence"
    PASSED = "passed"

    @property
    def meaning(self) -> str:
        """What it means for who reads it, in a sentence."""
        return _MEANINGS[self]

    @property
    def rank(self) -> int:
        """What a reader must see first comes first: failed, insufficient, passed."""
        return list(Outcome).index(self)


_MEANINGS = {
    Outcome.FAILED: "what was measured speaks against the model even in the most favorable case "
    "that the samples leave open; what could not be measured fails, too",
    Outcome.INSUFFICIENT: "nothing was shown either way: the samples are too few to tell, and more "
    "of them may settle it without another model",
    Outcome.PASSED: "even in the least favorable case that the samples leave open the model meets "
    "what is required",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided confidence interval at `confidence` (0 to 1)."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """The values a check accepts: `low <= value <= high`; an open side is infinite."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"got the range [{self.low}, {self.high}], expected low <= high")

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f">= {number(self.low, 6)}"
        if math.isinf(self.low):
            return f"<= {number(self.high, 6)}"
        return f"in [{number(self.low, 6)}, {number(self.high, 6)}]"

    @property
    def words(self) -> str:
        """`at least 0.8` and the like."""
        if math.isinf(self.high):
            return f"at least {number(self.low, 6)}"
        if math.isinf(self.low):
            return f"at most {number(self.high, 6)}"
        return span(self.low, self.high, 6)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high  # NaN compares False: it is never inside

    def decide(self, measured: float, interval: Interval) -> Outcome:
        """Decide on the interval, not the point: inside passes, outside fails, else unknown.

        So a failure, too, is claimed only where the evidence shows it. A measured value or a bound
        that is NaN fails: a broken metric must not pass.
        """
        if any(math.isnan(value) for value in (measured, interval.low, interval.high)):
            return Outcome.FAILED
        if interval.low in self and interval.high in self:
            return Outcome.PASSED
        if interval.high < self.low or interval.low > self.high:
            return Outcome.FAILED
        return Outcome.INSUFFICIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One measured figure against one requirement."""

    gate: str
    name: str
    measured: float
    interval: Interval
    required: Required
    samples: int
    outcome: Outcome
    reason: str
    """Why it came out so, in words a reviewer understands."""

    samples_needed: int | None = None
    """With insufficient evidence: about how many samples in all would decide. A figure may rest on
    fewer (`samples`), of a group say: as many times more of the whole set are meant."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document; NaN and infinity become null, which never reads as a number."""
        return {
            "gate": self.gate,
            "name": self.name,
            "measured": _number(self.measured),
            "interval": {
                "low": _number(self.interval.low),
                "high": _number(self.interval.high),
                "confidence": self.interval.confidence,
            },
            "required": {"low": _number(self.required.low), "high": _number(self.required.high)},
            "samples": self.samples,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "samplesNeeded": self.samples_needed,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Check:
        """The inverse of `to_json`: a null measure is NaN, a null side of a range is open."""
        interval, required = document["interval"], document["required"]
        return cls(
            gate=document["gate"],
            name=document["name"],
            measured=_or(document["measured"], math.nan),
            interval=Interval(
                low=_or(interval["low"], math.nan),
                high=_or(interval["high"], math.nan),
                confidence=interval["confidence"],
            ),
            required=Required(
                low=_or(required["low"], -math.inf), high=_or(required["high"], math.inf)
            ),
            samples=document["samples"],
            outcome=Outcome(document["outcome"]),
            reason=document["reason"],
            samples_needed=document["samplesNeeded"],
        )


def decisive(checks: Iterable[Check]) -> list[Check]:
    """The checks, what decided first: failed, then insufficient evidence, then the closest ones.

    How close a check came: the distance from the measured value to the nearer end of what is
    required, in widths of the interval on that side; 1 is as close as passes. What was counted has
    no interval: it comes after, by its distance alone, and last what is at its end, as 0 of 0 are.
    """
    return sorted(checks, key=lambda check: (check.outcome.rank, *_room(check)))


def _room(check: Check) -> tuple[float, float]:
    """How close it came with an interval and without; infinity is farthest."""
    if check.outcome is not Outcome.PASSED:
        return 0.0, 0.0  # as they were asked
    measured, interval, required = check.measured, check.interval, check.required
    sides = (
        (measured - required.low, measured - interval.low),
        (required.high - measured, interval.high - measured),
    )
    within = min((room / width for room, width in sides if width > 0), default=math.inf)
    return within, min((room for room, _ in sides if room > 0), default=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures that belong together, for the report: a curve's points, a row a group."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int | None]]
    """Numbers stay numbers: the report rounds them. None is shown as a dash."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document; NaN and infinity become null."""
        rows = [[_number(v) if isinstance(v, float) else v for v in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Table:
        """The inverse of `to_json`; null stays None."""
        return cls(title=document["title"], columns=document["columns"], rows=document["rows"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one gate found: its checks, and pictures, tables and figures for the report."""

    gate: str
    checks: Sequence[Check]
    figures: Mapping[str, float] = field(default_factory=dict)
    """Further measured figures that no check requires, by name."""

    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG images by file name without the ending; the name begins with the gate's."""

    captions: Mapping[str, str] = field(default_factory=dict)
    """What each picture shows, by the picture's name."""

    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    asked: Sequence[tuple[str, str]] = ()
    """What the gate was asked, thresholds apart: what it is called, and its value, in words."""

    warnings: Sequence[str] = ()
    """What makes the yardstick weak, such as an attack with less effort than its own default."""

    asked_as: str = UNCONFINED
    """How the model was asked: `graph`, by what its code was confined, `unconfined`, or empty where
    no model was asked."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document without the pictures, which travel as files."""
        return {
            "gate": self.gate,
            "askedAs": self.asked_as,
            "checks": [check.to_json() for check in self.checks],
            "figures": {name: _number(value) for name, value in self.figures.items()},
            "captions": dict(self.captions),
            "tables": [table.to_json() for table in self.tables],
            "notes": list(self.notes),
            "asked": [list(pair) for pair in self.asked],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Evidence:
        """The inverse of `to_json`; pictures are left out."""
        return cls(
            gate=document["gate"],
            checks=[Check.from_json(check) for check in document["checks"]],
            figures={n: _or(value, math.nan) for n, value in document["figures"].items()},
            captions=document.get("captions", {}),
            tables=tuple(Table.from_json(table) for table in document.get("tables", ())),
            notes=list(document["notes"]),
            asked=tuple((name, value) for name, value in document["asked"]),
            warnings=tuple(document["warnings"]),
            asked_as=document["askedAs"],
        )

    def write(self, folder: Path) -> None:
        """Leave evidence.json and the pictures in a new folder; equal evidence, equal bytes."""
        folder.mkdir(parents=True)
        text = json.dumps(self.to_json(), indent=2, sort_keys=True, allow_nan=False)
        (folder / EVIDENCE_FILE).write_text(text + "\n", encoding="utf-8")
        for name, picture in self.pictures.items():
            (folder / f"{name}.png").write_bytes(picture)

    @classmethod
    def read(cls, folder: Path) -> Evidence:
        """The inverse of `write`; pictures are left out.

        Raises:
            ValueError: there is no evidence in the folder.
        """
        file = folder / EVIDENCE_FILE
        try:
            return cls.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"got no evidence in {folder.name} ({type(error).__name__}: {error}), expected "
                f"{EVIDENCE_FILE} as a gate leaves it"
            ) from None

    @property
    def outcome(self) -> Outcome:
        """The worst of the checks; a gate without checks has shown nothing."""
        outcomes = {check.outcome for check in self.checks}
        if Outcome.FAILED in outcomes:
            return Outcome.FAILED
        if Outcome.INSUFFICIENT in outcomes or not outcomes:
            return Outcome.INSUFFICIENT
        return Outcome.PASSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The evidence of all gates of a run, and so whether the model may be promoted."""

    evidence: Sequence[Evidence]
    required: Sequence[str] = ()
    """Gates that the policy declares: one that left no check has shown nothing, and fails."""

    @property
    def checks(self) -> list[Check]:
        """Every check of every gate, and a failed one for each required gate without any."""
        found = [check for evidence in self.evidence for check in evidence.checks]
        silent = [gate for gate in self.required if gate not in {check.gate for check in found}]
        return found + [_silent(gate) for gate in silent]

    @property
    def passed(self) -> bool:
        """Only when there are checks, and each of them passed."""
        checks = self.checks
        return bool(checks) and all(check.outcome is Outcome.PASSED for check in checks)

    def __str__(self) -> str:
        """`passed`, or why not: a line for each check that refused."""
        refused = [check for check in self.checks if check.outcome is not Outcome.PASSED]
        lines = (f"{check.outcome.value}: {check.gate}: {check.reason}" for check in refused)
        return "\n".join(lines) or ("passed" if self.passed else "refused: there is no check")

    def to_json(self) -> dict[str, Any]:
        """The part of a verdict document that the gates decide; digests are added by the stage."""
        return {
            "passed": self.passed,
            "checks": [check.to_json() for check in self.checks],
            "figures": {e.gate: e.to_json()["figures"] for e in self.evidence},
            "captions": {n: text for e in self.evidence for n, text in e.captions.items()},
            "tables": {e.gate: e.to_json()["tables"] for e in self.evidence if e.tables},
            "notes": {e.gate: list(e.notes) for e in self.evidence if e.notes},
            "asked": {e.gate: [list(p) for p in e.asked] for e in self.evidence if e.asked},
            "warnings": {e.gate: list(e.warnings) for e in self.evidence if e.warnings},
            "askedAs": {e.gate: e.asked_as for e in self.evidence},
        }


def _silent(gate: str) -> Check:
    return unshown(
        gate,
        "evidence",
        Required(low=1),
        f"the {gate} gate is declared but left no check, so it has shown nothing",
    )


def unshown(gate: str, name: str, required: Required, reason: str) -> Check:
    """A failed check of what must hold and nobody has shown."""
    return Check(
        gate=gate,
        name=name,
        measured=math.nan,
        interval=Interval(low=math.nan, high=math.nan, confidence=1.0),
        required=required,
        samples=0,
        outcome=Outcome.FAILED,
        reason=reason,
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
