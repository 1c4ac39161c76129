"""What was the model asked? A verdict is worth as much as its yardstick, so that comes first.

Both reports, a promotion's message and every terminal say it from here: thresholds, what the gates
tell of how they measured (`Evidence.asked`, `Evidence.warnings`), and the policy itself, key by
key, whatever a gate tells of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trust_gates import GATES
from trust_gates.metric import EVALUATION, of_evaluation, plain
from trust_gates.verdict import Check, Required
from trust_gates.visible import one_line
from trust_gates.written import number

_FLOOR = "floor"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_USUAL = 0.9
"""Less confidence than this is said to be little: 0.95 is the default."""

_LONGEST = 200
"""Characters of one value where there is a line a gate: no value pushes another out of sight."""

_WORD = re.compile(r"[^\W\d](?:[\w ./-]*[\w./-])?")
_VALUES = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
"""Words that some reader of YAML takes for a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What all checks of one metric were held to."""

    name: str
    required: Required
    comparisons: int
    """How many checks: one a comparison of groups, say."""

    samples: tuple[int, int]
    """The fewest and the most that one of them rests on."""

    evaluation: bool
    """Whether on the organisation's own data."""

    def __str__(self) -> str:
        few, most = self.samples
        more = [f"on {few} samples" if few == most else f"on {few} to {most} samples"]
        if self.evaluation:
            more.append("of the organisation's own data")
        if self.comparisons > 1:
            more.append(f"in each of {self.comparisons} checks")
        return f"{self.required} ({', '.join(more)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one gate was asked."""

    gate: str
    judged: bool
    """Whether anyone asked it: a policy may declare more than was judged."""

    thresholds: Sequence[Threshold]
    told: Sequence[tuple[str, str]]
    """What the gate says of how it measured."""

    policy: Mapping[str, Any]
    """What touchstone.yaml says of it, with every key, defaults included."""

    warnings: Sequence[str]
    """What the gate says is weak about it."""

    @property
    def written(self) -> list[str]:
        """The policy as lines of YAML, one a key and one an entry of a list of mappings.

        No line begins with anything but a key or two blanks, whatever the values are.
        """
        lines = []
        for key, value in self.policy.items():
            if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
                lines += [f"{flow(key)}:", *(f"  - {flow(one)}" for one in value)]
            else:
                lines.append(f"{flow(key)}: {flow(value)}")
        return lines

    @property
    def held(self) -> list[str]:
        """The thresholds in short: those that are the same are named together."""
        alike: dict[str, list[str]] = {}
        for one in self.thresholds:
            alike.setdefault(str(one), []).append(one.name)
        return [f"{', '.join(names)} {text}" for text, names in alike.items()]

    def __str__(self) -> str:
        if not self.judged:
            return f"{self.gate}: not judged"
        keys = ((key, flow(value)) for key, value in self.policy.items() if key != "checks")
        told = (_short(f"{label}: {value}") for label, value in self.told or keys)
        return f"{self.gate}: {'; '.join((*self.held, *told)) or 'nothing'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What all gates were asked, by what, and how much that is worth."""

    general: Sequence[tuple[str, str]]
    """What holds for every gate: a label and its value."""

    gates: Sequence[Asked]
    warnings: Sequence[str]
    """What is weak about it, besides what each gate warns of."""

    confidence: float | None = None
    """Of the whole verdict; None where nobody recorded it."""

    @classmethod
    def of(cls, verdict: Mapping[str, Any]) -> Yardstick:
        """The yardstick of a verdict document."""
        checks = [Check.from_json(check) for check in verdict["checks"]]
        told, warned = verdict.get("asked", {}), verdict.get("warnings", {})
        judged = (*verdict.get("figures", {}), *(check.gate for check in checks))
        names = dict.fromkeys((*judged, *told, *warned))
        policies = verdict.get("gates", {})
        return cls(
            general=_general(verdict, checks),
            gates=[
                Asked(
                    gate=name,
                    judged=name in judged,
                    thresholds=_thresholds(verdict, [one for one in checks if one.gate == name]),
                    told=[(label, value) for label, value in told.get(name, ())],
                    policy=policies.get(name) or {},
                    warnings=warned.get(name, ()),
                )
                for name in sorted(names, key=place)
            ],
            warnings=_warnings(verdict.get("confidence", policies.get("confidence", 1))),
            confidence=verdict.get("confidence", policies.get("confidence")),
        )

    @property
    def sure(self) -> str:
        """How sure the verdict is, in a sentence; empty where nobody recorded it."""
        if self.confidence is None:
            return ""
        chance = number(100 * (1 - self.confidence), 3)
        return (
            f"Decided at a confidence of {number(self.confidence, 6)}: of models that miss a "
            f"threshold, at most {chance} in 100 pass by chance."
        )

    @property
    def every_warning(self) -> list[str]:
        """All of them, a line each; what several gates say is one, with their names."""
        whose: dict[str, list[str]] = {}
        for gate in self.gates:
            for text in gate.warnings:
                whose.setdefault(text, []).append(gate.gate)
        of_gates = (f"{', '.join(gates)}: {text}" for text, gates in whose.items())
        return [one_line(text) for text in (*self.warnings, *of_gates)]

    @property
    def counted(self) -> str:
        """`3 warnings about the yardstick`; empty where there is none."""
        count = len(self.every_warning)
        return f"{count} warning{'s' * (count > 1)} about the yardstick" if count else ""

    def lines(self) -> list[str]:
        """In short: what holds for every gate, and a line for each of them."""
        general = (_short(f"{label}: {value}") for label, value in self.general)
        return [one_line(line) for line in (*general, *map(str, self.gates))]


def place(gate: str) -> tuple[int, str]:
    """Gates stand in the order of the pipeline, those of others after them."""
    return (GATES.index(gate) if gate in GATES else len(GATES), gate)


def evaluated(verdict: Mapping[str, Any], check: str) -> bool:
    """Whether the check of that name rests on the organisation's own data."""
    return of_evaluation(check) and bool(verdict.get(EVALUATION))  # a group may be called so, too


def flow(value: Any) -> str:
    """A value as touchstone.yaml has it; keys that an inner mapping does not set are left out."""
    match value:
        case None | bool():
            return json.dumps(value)
        case float():
            # An epsilon of 2e-06 is easily taken for one of 2.
            return format(Decimal(repr(value)), "f" if 1e-12 <= abs(value) < 1e15 else "")
        case str():
            bare = _WORD.fullmatch(value) and value.lower() not in _VALUES
            return value if bare else json.dumps(value, ensure_ascii=False)
        case Mapping():
            keys = sorted((key for key in value if value[key] is not None), key=_first)
            pairs = (f"{flow(key)}: {flow(value[key])}" for key in keys)
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _first(key: str) -> tuple[bool, str]:
    """A stored document has its keys in alphabetical order: what it is of comes first again."""
    return (key not in ("metric", "name"), key)


def _general(verdict: Mapping[str, Any], checks: Sequence[Check]) -> list[tuple[str, str]]:
    found = [("decided at", _confidence(verdict)), (_FLOOR, _floor(verdict))]
    if verdict.get(EVALUATION):
        own = sum(evaluated(verdict, check.name) for check in checks)
        found.append(
            (
                "whose data",
                f"{own} of {len(checks)} checks rest on the organisation's own "
                f"({verdict[EVALUATION]}), the others on what the model's author gives",
            )
        )
    if samples := verdict.get("facts", {}).get("samples"):
        found.append(("samples", ", ".join(f"{name} {count}" for name, count in samples.items())))
    told = {_FLOOR, EVALUATION}
    judged = ((name, value) for name, value in verdict.items() if name not in told)
    return [*found, *((n, v) for n, v in judged if isinstance(v, str) and _DIGEST.fullmatch(v))]


def _confidence(verdict: Mapping[str, Any]) -> str:
    own = verdict.get("gates", {}).get("confidence")
    whole = verdict.get("confidence", own)
    if own is None or whole is None:
        return "a confidence that nobody recorded"
    text = f"confidence {number(whole, 6)} of the whole verdict"
    # Each round of a remedy has its chance to pass, and so only a part of the error.
    return text if own == whole else f"{text} and its rounds together: {number(own, 6)} of each"


def _floor(verdict: Mapping[str, Any]) -> str:
    if not (floor := verdict.get(_FLOOR)):
        return "none of an organisation was given; whoever wrote the policy chose the thresholds"
    return f"held to the organisation's, {floor}"


def _warnings(confidence: float) -> list[str]:
    if confidence >= _USUAL:
        return []
    return [
        f"confidence {number(confidence, 6)} is little: a model that misses a threshold passes "
        f"in up to {1 - confidence:.0%} of such verdicts"
    ]


def _thresholds(verdict: Mapping[str, Any], checks: Iterable[Check]) -> list[Threshold]:
    """One a metric, bound and kind of data, however many comparisons there are of it."""
    alike: dict[tuple[str, Required, bool], list[int]] = {}
    for check in checks:
        key = (plain(check.name), check.required, evaluated(verdict, check.name))
        alike.setdefault(key, []).append(check.samples)
    return [
        Threshold(
            name=name,
            required=required,
            comparisons=len(samples),
            samples=(min(samples), max(samples)),
            evaluation=evaluation,
        )
        for (name, required, evaluation), samples in alike.items()
    ]
