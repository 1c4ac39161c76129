"""What of a verdict must be known by who has one screen for it? The report in twenty lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trust_gates import glossary
from trust_gates.report.reading import Report
from trust_gates.verdict import Check, Outcome
from trust_gates.visible import one_line
from trust_gates.written import number

_SIGNS = {Outcome.PASSED: "ok", Outcome.FAILED: "FAILED", Outcome.INSUFFICIENT: "unclear"}
_MOST = 6
"""Of each kind so many are told, the others counted."""

_LONGEST = 160


def lines(verdict: Mapping[str, Any]) -> list[str]:
    """The verdict, how sure it is, and the checks that decided it; a line each.

    Failed checks come before those that lack evidence; of a passed model, its closest calls.
    """
    report = Report.of(verdict, ())
    found = [report.title, f"{report.summary} {report.standing}", report.yardstick.sure]
    for check in report.decisive[:_MOST]:
        found.append(f"  {_SIGNS[check.outcome]} {check.gate}: {check.reason}")
        if advice := glossary.advice(check):
            found.append(f"         to do: {advice}")
    found += _more(len(report.decisive) - _MOST)
    warnings = report.yardstick.every_warning
    found += [f"  warning {text}" for text in warnings[:2]] + _more(len(warnings) - 2)
    return [_cut(line) for line in found if line]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is otherwise than in the verdict `before`, of the version that is served; a line each.

    What is asked comes before what was found: a better figure by a lower threshold is none.
    """
    old, new = _checks(before), _checks(now)
    both = [(old[key], new[key]) for key in new if key in old]
    asked = [
        f"  asked of {was.gate}: {was.name} now {now.required}, was {was.required}"
        for was, now in both
        if was.required != now.required
    ]
    asked += [f"  asked of {c.gate}: {c.name} no more" for key, c in old.items() if key not in new]
    asked += [
        f"  asked of {c.gate}: {c.name} {c.required}, for the first time"
        for key, c in new.items()
        if key not in old
    ]
    moved = [(was, now) for was, now in both if _apart(was, now) > 0]
    moved.sort(key=lambda pair: -_apart(*pair))
    found = [
        f"  found by {now.gate}: {now.name} {number(now.measured)}, was {number(was.measured)}"
        for was, now in moved
    ]
    told = [*asked[:_MOST], *_more(len(asked) - _MOST), *found[:_MOST], *_more(len(found) - _MOST)]
    return [_cut(line) for line in told or ["  nothing that was asked or found"]]


def _checks(verdict: Mapping[str, Any]) -> dict[tuple[str, str], Check]:
    found = [Check.from_json(check) for check in verdict["checks"]]
    return {(check.gate, check.name): check for check in found}


def _apart(was: Check, now: Check) -> float:
    """How far a figure moved, in widths of its interval: what is exact counts as it is."""
    lost = math.isnan(was.measured), math.isnan(now.measured)
    if any(lost):
        return 0.0 if all(lost) else math.inf
    width = was.interval.high - was.interval.low
    return abs(now.measured - was.measured) / (width if 0 < width < math.inf else 1.0)


def _more(count: int) -> list[str]:
    return [f"  and {count} more"] if count > 0 else []


def _cut(text: str) -> str:
    start = text[: len(text) - len(text.lstrip())]
    line = start + one_line(text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
