"""The trust report: a verdict as Markdown that a reviewer can decide from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trust_gates.verdict import Check, Outcome

_MARKS = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.INSUFFICIENT: "❔"}

_QUESTIONS = {
    "quality": "Does it do its task on samples it has never seen?",
    "robustness": "How much does it still get right when someone attacks its inputs?",
    "fairness": "Are favorable outcomes shared evenly between the groups?",
    "integrity": "Are its files what they claim to be, and safe to load?",
}

_MEANINGS = {
    "accuracy": "share of decisions that are right; 1 is ideal",
    "balanced_accuracy": "accuracy, each label counted equally; 1 is ideal",
    "map50": "mean average precision at IoU 0.5; 1 is ideal",
    "recall": "share of true objects that were found; 1 is ideal",
    "robust_accuracy": "share still right after the worst of all attacks; 1 is ideal",
    "robust_recall": "share of objects still found after the worst of all attacks; 1 is ideal",
    "robust_map50": "mean average precision after the worst of all attacks; 1 is ideal",
    "clean": "share right without an attack",
    "noise": "share right under random noise of the attack's size",
    "statistical_parity_difference": (
        "share selected, unprivileged less privileged; 0 is ideal, within ±0.1 counts as fair"
    ),
    "disparate_impact": (
        "share selected, unprivileged over privileged; 1 is ideal, 0.8 to 1.25 counts as fair"
    ),
    "equal_opportunity_difference": (
        "share found of those who should be, unprivileged less privileged; 0 is ideal"
    ),
    "average_odds_difference": (
        "mean difference of false alarms and of hits, unprivileged less privileged; 0 is ideal"
    ),
    "theil_index": "inequality of benefit between individuals; 0 is ideal",
    "false_negative_rate_difference": (
        "share missed of those who should be found, unprivileged less privileged; 0 is ideal"
    ),
}

_CAPTIONS = {
    "fairness.png": "Each fairness figure with its interval; the required range in green.",
    "robustness-epsilon.png": "What is left of the model as the attacker's budget epsilon grows.",
    "robustness-examples.png": "The samples that lost most: before the attack and after it.",
}


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
    lines += _pictures([name for name in pictures if name not in shown])
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
    lines = [f"## {gate.capitalize()}", "", _QUESTIONS.get(gate, ""), ""]
    if checks:
        lines += [
            "| | check | measured | interval | required | samples |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(check) for check in checks]
        lines += [""]
    lines += [f"- {_cell(note)}" for note in verdict["notes"].get(gate, [])]
    lines += [""] if verdict["notes"].get(gate) else []
    lines += _pictures(pictures)
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
            f" {_MEANINGS.get(name, '')} |"
            for name, value in figures.items()
        ]
        lines += ["", "</details>", ""]
    return lines


def _row(check: Check) -> str:
    meaning = _MEANINGS.get(check.name)
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


def _pictures(names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        caption = _CAPTIONS.get(name, name.removesuffix(".png"))
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
