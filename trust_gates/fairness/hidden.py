"""What does a passing mean hide? Opposite gaps that cancel, and a group that others make up for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trust_gates.fairness import counts, figures
from trust_gates.fairness.bounds import Compared
from trust_gates.fairness.groups import Grouping
from trust_gates.fairness.measured import View
from trust_gates.metric import compared, plain
from trust_gates.statistics import Measure
from trust_gates.verdict import Required


@dataclass(frozen=True, slots=True)
class _Mean:
    """A figure that is the mean of two gaps."""

    gaps: tuple[str, str]
    signs: tuple[int, int]
    instead: str


MEANS = {
    "average_odds_difference": _Mean(
        ("false_positive_rate_difference", "true_positive_rate_difference"),
        (1, 1),
        "average_abs_odds_difference or equalized_odds_difference",
    ),
    "average_predictive_value_difference": _Mean(
        ("false_discovery_rate_difference", "false_omission_rate_difference"),
        (-1, 1),  # precision is one less the false discovery rate
        "false_discovery_rate_difference and false_omission_rate_difference",
    ),
}
"""The means of `figures.MEANS`, by the gaps that a policy can require in their place."""


def cancelled(
    measures: Mapping[str, Measure], required: Mapping[str, Required], confidence: float
) -> Iterator[tuple[str, bool]]:
    """Means of opposite gaps, in words, and whether the mean is required.

    Those whose gaps are both shown, and required ones that would not pass if gaps did not cancel.
    """
    for name, measure in measures.items():
        mean = MEANS.get(plain(name))
        if mean is None:
            continue
        rest = name.removeprefix(plain(name))
        gaps = [measures[gap + rest] for gap in mean.gaps]
        first, second = (s * gap.value for s, gap in zip(mean.signs, gaps, strict=True))
        if not first * second < 0:
            continue
        asked = required.get(plain(name))
        shown = [gap.interval(confidence) for gap in gaps]
        if (asked is not None and (abs(first) + abs(second)) / 2 not in asked) or all(
            one.low > 0 or one.high < 0 for one in shown
        ):
            parts = ", ".join(
                f"{gap} {one.value:+.3f}" for gap, one in zip(mean.gaps, gaps, strict=True)
            )
            yield (
                f"{name} {measure.value:+.3f} is the mean of opposite gaps that cancel ({parts}); "
                f"require {mean.instead}",
                asked is not None,
            )


def outvoted(
    view: View,
    groups: Grouping,
    required: Mapping[str, Required],
    *,
    minimum: int,
    confidence: float,
    alpha: float,
) -> Iterator[str]:
    """Groups that are compared together with others and alone are outside of what is required."""
    collapsed = counts.collapse(view.rows, len(groups.names))
    for comparison in groups.comparisons:
        others, top = list(comparison.unprivileged), list(comparison.privileged)
        alone = [(group, [group], top) for group in others if len(others) > 1]
        alone += [(group, others, [group]) for group in top if len(top) > 1]
        for group, low, high in alone:
            seen = Compared.of(collapsed, low, high)
            values = figures.pair(
                *(collapsed.observed()[:, side].sum(axis=1) for side in (low, high)), alpha=alpha
            )
            for metric, asked in required.items():
                limits = seen.bounds(metric) if metric in values else None
                if limits is None or seen.rows(metric) < minimum:
                    continue
                found = limits(1 - (1 - confidence) / len(alone))
                if found.high < asked.low or found.low > asked.high:
                    name = compared(metric, view.name, comparison.name)
                    yield (
                        f"{name} compares several groups together: of "
                        f"{groups.names[group]} alone it is {float(values[metric][0]):.3f} "
                        f"[{found.low:.3f}, {found.high:.3f}], expected {asked}"
                    )
