"""The trust report: a verdict as Markdown that a reviewer can decide from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trust_gates import glossary
from trust_gates.verdict import Check, Outcome

_MARKS = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.INSUFFICIENT: "❔"}


def render(verdict: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The verdict document (see `Verdict.to_json`) as Markdown.

    Pictures, by file name, are shown below the gate that their name begins with.
    """
    checks = [Check.from_json(check) for check in verdict["checks"]]
    shown: set[str] = set()
    lines = [*_summary(verdict, checks), ""]
    for gate in dict.fromkeys([*verdict["evidence"], *(check.gate for check in checks)]):
        own = [name for name in pictures if name.startswith(gate)]
        shown.update(own)
        lines += _gate(verdict, gate, [check for check in checks if check.gate == gate], own)
    lines += _pictures([name for name in pictures if name not in shown], verdict)
    lines += _judged(verdict)
    return "\n".join(lines).rstrip() + "\n"


def _summary(verdict: Mapping[str, Any], checks: Sequence[Check]) -> list[str]:
    passed = sum(check.outcome is Outcome.PASSED for check in checks)
    title = f"# Trust report: {'passed' if verdict['passed'] else 'refused'}"
    lines = [title, "", f"{passed} of {len(checks)} checks passed."]
    missing = [check for check in checks if check.outcome is not Outcome.PASSED]
    if missing:
        lines += ["", "What did not pass:", ""]
        lines += [
            f"- {_MARKS[check.outcome]} **{check.gate}**: {_cell(check.reason)}"
            for check in missing
        ]
    return lines


def _gate(
    verdict: Mapping[str, Any], gate: str, checks: Sequence[Check], pictures: Sequence[str]
) -> list[str]:
    lines = [f"## {gate.capitalize()}", "", glossary.question(gate), ""]
    if checks:
        lines += [
            "| | check | measured | interval | required | samples |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(check) for check in checks]
        lines += [""]
    lines += [f"- {_cell(note)}" for note in verdict["notes"].get(gate, [])]
    lines += [""] if verdict["notes"].get(gate) else []
    lines += _pictures(pictures, verdict)
    lines += _tables(verdict, gate)
    judged = {check.name for check in checks}
    figures = {
        name: value
        for name, value in verdict["figures"].get(gate, {}).items()
        if name not in judged
    }
    if figures:
        lines += ["<details><summary>Further figures</summary>", ""]
        lines += ["| figure | value | meaning |", "|---|---|---|"]
        lines += [
            f"| {name} | {'not a number' if value is None else f'{value:.4g}'} |"
            f" {glossary.meaning(name)} |"
            for name, value in figures.items()
        ]
        lines += ["", "</details>", ""]
    return lines


def _row(check: Check) -> str:
    meaning = glossary.meaning(check.name)
    name = f"{check.name}<br>{meaning}" if meaning else check.name
    low, high = check.interval.low, check.interval.high
    interval = "exact" if low == high else f"{low:.3f} to {high:.3f}"
    cells = [
        f"{_MARKS[check.outcome]} {check.outcome.value}",
        name,
        f"{check.measured:.4g}",
        interval,
        str(check.required),
        str(check.samples),
    ]
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _tables(verdict: Mapping[str, Any], gate: str) -> list[str]:
    lines = []
    for table in verdict["tables"].get(gate, []):
        lines += [f"<details><summary>{_cell(table['title'])}</summary>", ""]
        lines += ["| " + " | ".join(_cell(column) for column in table["columns"]) + " |"]
        lines += ["|" + "---|" * len(table["columns"])]
        lines += ["| " + " | ".join(_value(v) for v in row) + " |" for row in table["rows"]]
        lines += ["", "</details>", ""]
    return lines


def _value(value: str | float | None) -> str:
    if value is None:
        return "–"
    return _cell(value) if isinstance(value, str) else f"{value:.4g}"


def _pictures(names: Sequence[str], verdict: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in names:
        title = name.removesuffix(".png")
        caption = _cell(verdict["captions"].get(title, title))
        lines += [f"![{caption}]({name})", "", f"*{caption}*", ""]
    return lines


def _judged(verdict: Mapping[str, Any]) -> list[str]:
    """What exactly was judged: every digest, so that anyone can repeat it."""
    named = ("run", "commit", "model", "source", "policy", "data", "dataset")
    lines = ["## What was judged", "", "| | |", "|---|---|"]
    lines += [f"| {name} | `{verdict[name]}` |" for name in named if name in verdict]
    lines += [f"| seed: {name} | {value} |" for name, value in verdict.get("seeds", {}).items()]
    return lines


def _cell(text: str) -> str:
    """Text of a model repository's making must not break out of its table cell or line."""
    return text.replace("|", "\\|").replace("\n", " ")
