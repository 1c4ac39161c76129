"""Every fairness figure of one way to look at the decisions, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness import bounds, counts, figures, individual, subgroups
from trust_gates.fairness.bounds import Bounds, Compared
from trust_gates.fairness.counts import Counts
from trust_gates.fairness.groups import Comparison, Grouping
from trust_gates.fairness.metrics import PAIRS, SUBGROUPS
from trust_gates.fairness.rows import Rows
from trust_gates.metric import compared
from trust_gates.statistics import Measure, missing, resampled
from trust_gates.verdict import Interval

_SCANNED_FEATURES = 8
"""The first so many features may describe a subgroup: a scan takes a second for each two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to look at the decisions: which outcome is favorable, and its rows."""

    rows: Rows
    name: str = ""
    """The favorable class where each class has its turn, else empty."""

    features: tuple[str, ...] = ()
    """Names of the rows' features, where they have names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a view shows."""

    measures: Mapping[str, Measure]
    """By `metric`, or `metric[comparison]` where there is more than one."""

    notes: tuple[str, ...] = ()


def measure(
    view: View,
    groups: Grouping,
    *,
    alpha: float,
    seed: int,
    wanted: frozenset[str] | None = None,
) -> Measured:
    """Every figure of `fairness.metrics` that decisions and scores allow.

    Args:
        wanted: the metrics to measure, where not all; what is cheap is measured all the same.
    """
    collapsed = counts.collapse(view.rows, len(groups.names))
    observed = collapsed.observed()[0]
    drawn = collapsed.resampled(seed) if len(view.rows) else observed[None]
    measures: dict[str, Measure] = {}
    for comparison in groups.comparisons:
        found = _compare(collapsed, drawn, comparison, alpha)
        measures |= suffixed(found, view.name, comparison.name)

    def asked(*names: str) -> bool:
        return wanted is None or not wanted.isdisjoint(names)

    rows = view.rows
    together = _whole(collapsed, drawn, alpha)
    notes: tuple[str, ...] = ()
    for name, decided in (("consistency", rows.predicted), ("label_consistency", rows.truth)):
        if asked(name):
            together[name] = individual.measure(rows.features, decided, seed=seed)
    if asked(*(metric.name for metric in SUBGROUPS)):
        scanned, notes = _subgroups(view, groups, seed)
        together |= scanned
    return Measured(measures=measures | suffixed(together, view.name), notes=notes)


def _compare(
    collapsed: Counts,
    drawn: NDArray[np.float64],
    comparison: Comparison,
    alpha: float,
) -> dict[str, Measure]:
    sides = list(comparison.unprivileged), list(comparison.privileged)
    seen = Compared.of(collapsed, *sides)
    observed = collapsed.observed()[0]
    absent = [
        name
        for name, members in zip(("unprivileged", "privileged"), sides, strict=True)
        if not observed[members].any()
    ]
    if absent:
        why = f"there are no samples that are {' or '.join(absent)}"
        return {metric.name: missing(why, grouped=True) for metric in PAIRS}
    values = figures.pair(*(observed[side].sum(axis=0)[None] for side in sides), alpha=alpha)
    draws = figures.pair(*(drawn[:, side].sum(axis=1) for side in sides), alpha=alpha)
    return {
        name: _measure(float(value[0]), seen.rows(name), seen.bounds(name), draws[name])
        for name, value in values.items()
    }


def _whole(collapsed: Counts, drawn: NDArray[np.float64], alpha: float) -> dict[str, Measure]:
    everybody = range(collapsed.groups)
    seen = {name: collapsed.seen(one, everybody) for name, one in figures.RATES.items()}
    rows = seen["accuracy"].rows
    if not rows:
        return {}
    odds = seen["true_positive_rate"], seen["true_negative_rate"]
    found = replace(
        seen["accuracy"], value=float(collapsed.observed()[0, :, counts.TP].sum() / rows)
    )
    made: dict[str, tuple[int, Bounds | None]] = {
        **{name: (one.rows, bounds.weighted([one], [1.0])) for name, one in seen.items()},
        "balanced_accuracy": (min(one.rows for one in odds), bounds.weighted(odds, [0.5, 0.5])),
        "power": (rows, bounds.weighted([found], [float(rows)])),
    }
    values = figures.whole(collapsed.observed(), alpha=alpha)
    draws = figures.whole(drawn, alpha=alpha)
    return {
        name: _measure(float(value[0]), *made.get(name, (rows, None)), draws[name])
        for name, value in values.items()
    }


def _measure(value: float, rows: int, limits: Bounds | None, draws: NDArray[np.float64]) -> Measure:
    """A figure of so many rows, in its limits where it has some, else in those of its draws."""
    if not rows:
        return missing("there are no rows that it rests on in one of the groups", grouped=True)
    drawn = resampled(value, rows, draws)

    def holding(confidence: float) -> Interval:
        """An index that is 0 as seen is above it in every draw."""
        one = drawn.interval(confidence)
        return replace(one, low=min(one.low, value), high=max(one.high, value))

    return replace(drawn, interval=limits or holding, grouped=True)


def _subgroups(
    view: View, groups: Grouping, seed: int
) -> tuple[dict[str, Measure], tuple[str, ...]]:
    """The two subgroup figures, and notes on what the subgroups are."""
    decisions, names = view.rows, [metric.name for metric in SUBGROUPS]
    if decisions.scores is None or len(decisions) < 4:
        why = "it needs scores of at least 4 samples"
        return {name: missing(why) for name in names}, ()
    attributes = {"group": np.array(groups.names)[decisions.group]}
    if decisions.features is not None:
        columns = decisions.features.T[:_SCANNED_FEATURES]
        attributes |= {
            name: subgroups.bands(column)
            for name, column in zip(view.features, columns, strict=False)
        }
    scans = {
        name: subgroups.scan(
            attributes, decisions.truth, decisions.scores, over="over" in name, seed=seed
        )
        for name in names
    }
    where = f" for {view.name}" if view.name else ""
    return (
        {name: scan.gap for name, scan in scans.items()},
        tuple(
            f"{name.replace('_', ' ')}{where} is worst for: {scan}"
            for name, scan in scans.items()
            if scan.values
        ),
    )


def suffixed(measures: Mapping[str, Measure], *parts: str) -> dict[str, Measure]:
    """The same, each named for what is compared."""
    return {compared(name, *parts): one for name, one in measures.items()}
