"""Every fairness figure of one way to look at the decisions, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness import counts, figures, individual, reference, subgroups
from trust_gates.fairness.groups import Comparison, Grouping
from trust_gates.fairness.metrics import PAIRS, SUBGROUPS
from trust_gates.fairness.rows import Rows
from trust_gates.statistics import Measure, missing, resampled

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


def measure(view: View, groups: Grouping, *, alpha: float, seed: int) -> Measured:
    """Every figure of `fairness.metrics` that decisions and scores allow."""
    collapsed = counts.collapse(view.rows, len(groups.names))
    observed = collapsed.observed()[0]
    drawn = collapsed.resampled(seed) if len(view.rows) else observed[None]
    measures: dict[str, Measure] = {}
    for comparison in groups.comparisons:
        compared = _compare(observed, drawn, comparison, alpha)
        measures |= suffixed(compared, view.name, comparison.name)
    scanned, notes = _subgroups(view, groups, seed)
    features = view.rows.features
    together = {
        **_whole(observed, drawn, alpha),
        "consistency": individual.measure(features, view.rows.predicted, seed=seed),
        "label_consistency": individual.measure(features, view.rows.truth, seed=seed),
        **scanned,
    }
    return Measured(measures=measures | suffixed(together, view.name), notes=notes)


def _compare(
    observed: NDArray[np.float64],
    drawn: NDArray[np.float64],
    comparison: Comparison,
    alpha: float,
) -> dict[str, Measure]:
    low, high = list(comparison.unprivileged), list(comparison.privileged)
    sizes = {
        f"{which}{side}": int(observed[members][:, cells].sum())
        for side, members in (("unprivileged", low), ("privileged", high))
        for which, cells in (("", slice(0, counts.CELLS)), ("favorable ", [counts.FN, counts.TP]))
    }
    absent = [name for name, size in sizes.items() if size == 0]
    if absent:
        why = f"there are no samples that are {' or '.join(absent)}"
        return {metric.name: missing(why) for metric in PAIRS}
    values = reference.pair(observed, low, high, alpha=alpha)
    draws = figures.pair(drawn[:, low].sum(axis=1), drawn[:, high].sum(axis=1), alpha=alpha)
    # The smallest group decides how much can be known, not the number of all rows.
    return {name: resampled(values[name], min(sizes.values()), draws[name]) for name in values}


def _whole(
    observed: NDArray[np.float64], drawn: NDArray[np.float64], alpha: float
) -> dict[str, Measure]:
    rows = int(observed[:, : counts.CELLS].sum())
    if not rows:
        return {}
    values, draws = reference.whole(observed, alpha=alpha), figures.whole(drawn, alpha=alpha)
    return {name: resampled(value, rows, draws[name]) for name, value in values.items()}


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
        tuple(f"{n.replace('_', ' ')}{where} is worst for: {scan}" for n, scan in scans.items()),
    )


def suffixed(measures: Mapping[str, Measure], *parts: str) -> dict[str, Measure]:
    """The same with `[part, part]` after each name; empty parts are left out."""
    words = ", ".join(part for part in parts if part)
    return {f"{name}[{words}]" if words else name: one for name, one in measures.items()}
