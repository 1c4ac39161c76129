"""The report as Markdown, in what GitHub, GitLab and Forgejo all render.

Tables, `<details>` and pictures by relative path; no alerts, diagrams or colours, which each
of them spells in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from trust_gates import glossary
from trust_gates.report.asked import Asked
from trust_gates.report.reading import Gate, Picture, Report, cell, interval
from trust_gates.verdict import Check, Outcome, Table
from trust_gates.visible import escape, one_line, visible
from trust_gates.written import number

LIMIT = 65_536
"""Characters in the body of a GitHub pull request; GitLab's limit is 1,048,576."""

SUMMARY_LIMIT = 250_000
"""Characters; GitHub takes 1 MiB of a step's summary, in which one may be four bytes."""

_MARKS = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.INSUFFICIENT: "❔"}
_WARNING = "⚠️"
_LEFT_OUT = "*Left out for length: {}. All of it is in {}.*"


def render(report: Report, *, limit: int = LIMIT) -> str:
    """The report in at most `limit` characters.

    Where it would be longer, whole parts are left out and named, the least needed first; the
    verdict, what was asked, what decided it and every check always stay, so a verdict with
    hundreds of checks can exceed it.
    """
    parts: dict[str, list[str]] = {
        "verdict": [*_verdict(report), *_yardstick(report), *_decided(report), *_remedied(report)],
        "curves and pictures": _pictures(report),
        "checks": _checks(report),
        "further figures": _figures(report),
        "fact sheet": _card(report),
        "what was judged": _judged(report),
    }
    order = ("further figures", "fact sheet", "curves and pictures", "what was judged")
    return _fitted(parts, order, limit, "trust-report.html")


def summary(report: Report) -> str:
    """What a CI job's page shows: the verdict, what decided it and every check; no pictures.

    What was asked is folded, so that it is there and hides nothing.
    """
    parts = {
        "verdict": [*_verdict(report), *_decided(report)],
        "every check": _checks(report),
        "what was asked": _details("What was asked", _yardstick(report)[2:]),
    }
    order = ("what was asked", "every check")
    return _fitted(parts, order, SUMMARY_LIMIT, "the report that `--out` writes")


def _fitted(
    parts: Mapping[str, Sequence[str]], order: Sequence[str], limit: int, whole: str
) -> str:
    """The parts one after the other; where that is too long, without the first ones of `order`."""
    dropped: list[str] = []
    for name in (*order, ""):
        left = [line for key, part in parts.items() if key not in dropped for line in part]
        if dropped:
            left.append(_LEFT_OUT.format(", ".join(dropped), whole))
        text = "\n".join(left).rstrip() + "\n"
        if len(text) <= limit or not name:
            break
        dropped.append(name)
    return text


def _verdict(report: Report) -> list[str]:
    lines = [f"# {_MARKS[report.outcome]} {escape(report.title)}", "", report.summary, ""]
    lines += [report.yardstick.sure, ""] if report.yardstick.sure else []
    counted = report.yardstick.counted
    return [*lines, f"**{_WARNING} {counted}**, below.", ""] if counted else lines


def _yardstick(report: Report) -> list[str]:
    general = (f"- {escape(label)}: {escape(value)}" for label, value in report.yardstick.general)
    lines = ["## What was asked", "", *general, ""]
    lines += _warnings(report.yardstick.every_warning)
    for gate in report.yardstick.gates:
        lines += [f"### Of {escape(gate.gate)}", "", *_asked(gate)]
    return lines


def _warnings(warnings: Sequence[str]) -> list[str]:
    lines = [f"- **{_WARNING} Warning:** {escape(text)}" for text in warnings]
    return [*lines, ""] if lines else []


def _asked(gate: Asked) -> list[str]:
    rows = [[_code(one.name), escape(str(one))] for one in gate.thresholds]
    rows += [[escape(label), escape(value)] for label, value in gate.told]
    lines = [*_rows(("asked", "value"), rows), ""] if rows else []
    if gate.policy:
        text = map(visible, gate.written)
        lines += ["The policy in full, defaults included:", "", "```yaml", *text, "```", ""]
    return lines


def _decided(report: Report) -> list[str]:
    lines = ["## What decided", "", report.standing, ""]
    for check in report.decisive:
        lines.append(f"- {_MARKS[check.outcome]} **{escape(check.gate)}**: {escape(check.reason)}")
        lines[-1] += f"<br>*What it means:* {escape(glossary.sentence(check))}"
        if advice := glossary.advice(check):
            lines[-1] += f"<br>*What to do:* {escape(advice)}"
    return [*lines, ""]


def _remedied(report: Report) -> list[str]:
    if not report.remedied:
        return []
    rows = (
        [_code(now.name), _outcome(then) if then else "–", _outcome(now), escape(str(now.required))]
        for then, now in report.remedied
    )
    columns = ("check", "before", "after", "required")
    title = f"## Before and after {escape(report.remedy)}"
    return [title, "", *_rows(columns, rows), ""]


def _outcome(check: Check) -> str:
    return f"{_MARKS[check.outcome]} {number(check.measured)}, {interval(check)}"


def _pictures(report: Report) -> list[str]:
    lines = []
    for gate in report.gates:
        if gate.pictures or gate.notes or gate.tables:
            lines += [f"### {_heading(gate)}", ""]
            lines += [f"- {escape(note)}" for note in gate.notes]
            lines += [""] if gate.notes else []
            lines += _shown(gate.pictures)
            for table in gate.tables:
                lines += _details(table.title, _table(table))
    lines += _shown(report.other_pictures)
    return ["## Curves and pictures", "", *lines] if lines else []


def _checks(report: Report) -> list[str]:
    lines = ["## Every check", ""]
    lines += [f"- {_MARKS[one]} {one.value}: {text}" for one, text in report.legend]
    lines += [""] if report.legend else []
    for gate in report.gates:
        lines += [f"### {_heading(gate)}", "", gate.question, ""]
        if gate.checks:
            columns = ("", "check", "measured", "interval", "required", "samples", "so")
            lines += [*_rows(columns, (_check(report, check) for check in gate.checks)), ""]
        else:
            lines += ["No check.", ""]
    return lines


def _check(report: Report, check: Check) -> list[str]:
    words = report.meaning(check)
    return [
        f"{_MARKS[check.outcome]} {check.outcome.value}",
        _code(check.name) + (f"<br>{escape(words)}" if words else ""),
        number(check.measured),
        interval(check),
        escape(str(check.required)),
        str(check.samples),
        escape(glossary.shown(check)),
    ]


def _figures(report: Report) -> list[str]:
    lines = []
    for gate in report.gates:
        if gate.figures:
            rows = ([_code(f.name), number(f.value), escape(f.meaning)] for f in gate.figures)
            lines += _details(
                f"{gate.name.capitalize()} ({len(gate.figures)})",
                _rows(("figure", "value", "meaning"), rows),
            )
    return ["## Further figures", "", *lines] if lines else []


def _card(report: Report) -> list[str]:
    lines = ["## Fact sheet", ""]
    for topic in report.card:
        rows = ([f"**{escape(label)}**", escape(text)] for label, text in topic.facts)
        lines += [f"### {topic.heading}", "", *_rows(("", ""), rows), ""]
    return lines


def _judged(report: Report) -> list[str]:
    rows = ([escape(name), _code(value)] for name, value in report.judged)
    return ["## What was judged", "", *_rows(("", ""), rows), ""]


def _heading(gate: Gate) -> str:
    return escape(gate.name.capitalize())


def _shown(pictures: Sequence[Picture]) -> list[str]:
    lines = []
    for picture in pictures:
        caption = escape(picture.caption)
        lines += [f"![{caption}]({quote(picture.file)})", "", f"*{caption}*", ""]
    return lines


def _details(summary: str, inside: Sequence[str]) -> list[str]:
    return [f"<details><summary>{escape(summary)}</summary>", "", *inside, "", "</details>", ""]


def _table(table: Table) -> list[str]:
    rows = ([escape(cell(value)) for value in row] for row in table.rows)
    return _rows([escape(column) for column in table.columns], rows)


def _code(text: str) -> str:
    """In a code span only its own mark, and in a table the cell's, have a meaning."""
    # A backslash of the text's own would free the cell's mark again.
    return "`" + re.sub(r"\\*\|", r"\\|", one_line(text).replace("`", "'")) + "`"


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
