"""What of many figures a reader is shown: each metric at its worst comparison, and the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trust_gates.fairness import counts, figures
from trust_gates.fairness.groups import Grouping
from trust_gates.fairness.measured import View
from trust_gates.fairness.metrics import METRICS
from trust_gates.metric import plain
from trust_gates.samples import Floats
from trust_gates.statistics import Measure
from trust_gates.verdict import Check, Table

_METRICS = {metric.name: metric for metric in METRICS}

_USUAL = (
    "statistical_parity_difference",
    "disparate_impact",
    "equal_opportunity_difference",
    "average_odds_difference",
    "error_rate_difference",
    "theil_index",
)

_ROOM = 20
"""Lines of a picture that can still be read."""

_COLUMNS = {
    "favored": "selection_rate",
    "favorable": "base_rate",
    "found": "true_positive_rate",
    "wrongly favored": "false_positive_rate",
    "accuracy": "accuracy",
}
"""Of the table of groups: the heading, and the rate below it."""


def words(name: str) -> str:
    """The comparison of `metric[comparison]`; empty where there is only one."""
    return name.partition("[")[2].removesuffix("]")


def worst(values: Mapping[str, float]) -> dict[str, str]:
    """Each plain metric to the full name of its worst comparison; NaN is worse than anything."""
    found: dict[str, str] = {}
    for name, value in values.items():
        known = found.get(plain(name))
        if known is None or _distance(name, value) > _distance(known, values[known]):
            found[plain(name)] = name
    return found


def pictured(required: Sequence[str], shown: Mapping[str, str]) -> list[str]:
    """What a check requires, then the figures most asked for, each once and at its worst.

    Of more checks than a picture has room for, each metric's worst comparison.
    """
    if len(required) > _ROOM:
        required = [shown[name] for name in dict.fromkeys(map(plain, required)) if name in shown]
    return list(dict.fromkeys([*required, *(shown[name] for name in _USUAL if name in shown)]))


def worst_notes(checks: Sequence[Check]) -> list[str]:
    """Where a metric has several checks: which comparison is worst."""
    values = {check.name: check.measured for check in checks}
    return [
        f"{name} is worst for {words(full)}: {values[full]:.3f}"
        for name, full in worst(values).items()
        if words(full)
    ]


def group_table(view: View, groups: Grouping) -> Table:
    """Every group's rows and rates."""
    columns = counts.collapse(view.rows, len(groups.names)).observed()[0]
    rates = figures.rates(columns)
    sizes = columns[:, : counts.CELLS].sum(axis=1)
    return Table(
        title=f"Groups{f': {view.name} against the rest' if view.name else ''}",
        columns=("group", "rows", *_COLUMNS),
        rows=[
            (name, int(sizes[index]), *(_or_none(rates[rate][index]) for rate in _COLUMNS.values()))
            for index, name in enumerate(groups.names)
        ],
    )


def number_table(truth: Floats, predicted: Floats, groups: Grouping) -> Table:
    """Every group's rows, and the means of what is true, predicted and wrong of their numbers."""
    rows = []
    for index, name in enumerate(groups.names):
        inside = groups.member == index
        residual = (predicted - truth)[inside]
        means = [
            _or_none(float(values.mean())) if inside.any() else None
            for values in (truth[inside], predicted[inside], residual, np.abs(residual))
        ]
        rows.append((name, int(inside.sum()), *means))
    columns = ("group", "rows", "true", "predicted", "predicted less true", "absolute error")
    return Table(title="Groups, with means of their numbers", columns=columns, rows=rows)


def worst_table(measures: Mapping[str, Measure], confidence: float) -> list[Table]:
    """Each metric's worst comparison with its interval; no table where there is only one."""
    rows = []
    for name, full in worst({name: one.value for name, one in measures.items()}).items():
        if words(full):
            interval = measures[full].interval(confidence)
            numbers = (measures[full].value, interval.low, interval.high)
            rows.append((name, words(full), *map(_or_none, numbers)))
    columns = ("figure", "comparison", "value", "low", "high")
    return [Table(title="Worst comparison of each figure", columns=columns, rows=rows)] * bool(rows)


def _distance(name: str, value: float) -> float:
    """How far from the ideal: ratios by their logarithm, so that 1/2 is as far as 2."""
    metric = _METRICS.get(plain(name))
    ideal = (metric and metric.ideal) or 0.0
    ratio = metric is not None and metric.ratio
    if np.isnan(value) or (ratio and value <= 0):
        return np.inf
    return float(abs(np.log(value)) if ratio else abs(value - ideal))


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
