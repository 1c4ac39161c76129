"""The report as one HTML file: no script, no network, readable by ear, on paper and in the dark."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trust_gates import glossary, palette
from trust_gates.report.reading import Report, cell, interval
from trust_gates.verdict import Check, Outcome
from trust_gates.visible import visible
from trust_gates.written import number

if TYPE_CHECKING:
    from jinja2 import Environment

_FARTHEST = 20.0
"""A ratio further from 1 than that, or 0, is drawn at the end of its line."""

_SIGNS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INSUFFICIENT: "?"}


def render(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The whole page; pictures (PNG by file name) are inside it as data URIs."""
    images = {
        name: f"data:image/png;base64,{b64encode(p).decode()}" for name, p in pictures.items()
    }
    return _environment().get_template("report.html.j2").render(report=report, images=images)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number,
        interval=interval,
        cell=cell,
        advice=glossary.advice,
        sentence=glossary.sentence,
        strip=strip,
    )
    environment.globals |= {"signs": _SIGNS, "palette": palette}
    return environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A check drawn on a line: where things lie, in per cent of its width."""

    fair_low: float
    fair_high: float
    low: float
    high: float
    measured: float
    start: str
    """What the line's left end is, in words, and what its right end is."""

    end: str


def strip(check: Check) -> Strip | None:
    """The check on a line from the least to the largest sensible value; None without a width.

    A ratio lies on a logarithmic line with 1 in its middle: half is as far from it as double.
    """
    low, high = check.interval.low, check.interval.high
    if not (math.isfinite(check.measured) and low < high):
        return None
    metric = glossary.metric(check.name)
    ratio = metric is not None and metric.ratio
    values = [check.measured, low, high, check.required.low, check.required.high]
    if metric is not None and not ratio:
        values += [metric.low, metric.high]
    finite = [_placed(value, ratio) for value in values if math.isfinite(value)]
    start, end = min(finite), max(finite)
    if start == end:
        return None
    if ratio:
        end = min(1.1 * max(math.log(1.5), -start, end), math.log(_FARTHEST))
        start = -end

    def place(value: float) -> float:
        inside = min(max(_placed(value, ratio), start), end)
        return round(100 * (inside - start) / (end - start), 2)

    ends = (math.exp(start), math.exp(end)) if ratio else (start, end)
    return Strip(
        fair_low=place(check.required.low),
        fair_high=place(check.required.high),
        low=place(low),
        high=place(high),
        measured=place(check.measured),
        start=number(ends[0], 2),
        end=number(ends[1], 2),
    )


def _placed(value: float, ratio: bool) -> float:
    if not ratio:
        return value
    return math.log(value) if value > 0 else -math.log(_FARTHEST)
