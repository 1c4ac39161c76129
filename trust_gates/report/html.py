"""The report as one HTML file: no script, no network, readable by ear, on paper and in the dark."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trust_gates import glossary
from trust_gates.report.reading import Report, cell, interval, number
from trust_gates.verdict import Check, Outcome
from trust_gates.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

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
        strip=strip,
    )
    environment.globals["signs"] = _SIGNS
    return environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A check drawn on a line: where things lie, in per cent of its width."""

    fair_low: float
    fair_high: float
    low: float
    high: float
    measured: float


def strip(check: Check) -> Strip | None:
    """The check on a line from the least to the largest sensible value; None without a width."""
    low, high = check.interval.low, check.interval.high
    if not (math.isfinite(check.measured) and low < high):
        return None
    metric = glossary.METRICS.get(check.name)
    values = [check.measured, low, high, check.required.low, check.required.high]
    if metric is not None:
        values += [metric.low, metric.high]
    finite = [value for value in values if math.isfinite(value)]
    start, end = min(finite), max(finite)

    def place(value: float) -> float:
        return round(100 * (min(max(value, start), end) - start) / (end - start), 2)

    return Strip(
        fair_low=place(check.required.low),
        fair_high=place(check.required.high),
        low=place(low),
        high=place(high),
        measured=place(check.measured),
    )
