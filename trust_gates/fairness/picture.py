"""The fairness figures to look at: each with its interval and the range required of it.

What is 0 at best and what is 1 at best stand on axes of their own: beside a difference of 0.1 on
one axis a ratio of 0.8 looks far off, though both are at the border of what counts as fair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trust_gates import palette
from trust_gates.fairness.metrics import METRICS
from trust_gates.metric import Metric, plain
from trust_gates.png import literal, png
from trust_gates.statistics import Measure
from trust_gates.verdict import Interval, Outcome, Required
from trust_gates.written import number

_METRICS = {metric.name: metric for metric in METRICS}
_FARTHEST = 20.0
"""A ratio further from 1 than that is drawn at the edge; its number stands beside it."""

_TICKS = (0.05, 0.1, 0.2, 0.5, 0.8, 1, 1.25, 2, 5, 10, 20)
_TITLES = {
    "share": "differences and indices: 0 is even",
    "ratio": "ratios: 1 is even, half and double are as far",
    "own": "in the unit of what is predicted or moved: 0 is even",
}


def draw(
    measures: Mapping[str, Measure], required: Mapping[str, Required], confidence: float
) -> bytes:
    """A PNG with one line a figure: its range in green, its value and interval on it."""
    from matplotlib.figure import Figure

    kinds = {kind: [n for n in measures if _kind(n) == kind] for kind in _TITLES}
    kinds = {kind: names for kind, names in kinds.items() if names}
    # Each panel has a title and an axis, of about three lines' height.
    heights = [len(names) + 2.5 for names in kinds.values()]
    figure = Figure(figsize=(7.4, 0.38 * sum(heights) + 0.5), layout="constrained")
    panels = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (kind, names) in zip(panels, kinds.items(), strict=True):
        _panel(axes, kind, {n: measures[n] for n in names}, required, confidence)
    figure.suptitle(
        f"Fairness at a confidence of {number(confidence)}; required: dotted", fontsize=11
    )
    return png(figure)


def _kind(name: str) -> str:
    metric = _METRICS.get(plain(name), Metric(name=name, meaning=""))
    if metric.ratio:
        return "ratio"
    # An index has no upper end, but it is a share of the mean: small where all is well.
    return "own" if math.isinf(metric.low) else "share"


def _panel(
    axes: Any,
    kind: str,
    measures: Mapping[str, Measure],
    required: Mapping[str, Required],
    confidence: float,
) -> None:
    ratio = kind == "ratio"
    spans = {name: measure.interval(confidence) for name, measure in measures.items()}
    shown = [
        *(measure.value for measure in measures.values()),
        *(side for one in spans.values() for side in (one.low, one.high)),
        *(s for n in measures if n in required for s in (required[n].low, required[n].high)),
    ]
    left, right = _ends(shown, ratio=ratio)

    def inside(value: float) -> float:
        return min(max(value, left), right)

    if ratio:
        axes.set_xscale("log")
    names = list(measures)[::-1]
    for height, name in enumerate(names):
        measure, span = measures[name], spans[name]
        if name in required:
            low, high = inside(required[name].low), inside(required[name].high)
            axes.barh(
                height,
                high - low,
                left=low,
                height=0.7,
                facecolor=palette.REQUIRED + "33",
                edgecolor=palette.REQUIRED + "99",
                hatch="..",
            )
        if math.isnan(measure.value) or math.isnan(span.low):
            axes.text(inside(1.0 if ratio else 0.0), height, " not measurable", va="center")
            continue
        axes.plot([inside(span.low), inside(span.high)], [height] * 2, color=palette.MEASURED, lw=2)
        axes.plot(inside(measure.value), height, **_mark(measure.value, span, required.get(name)))
        axes.text(
            1.02,
            height,
            number(round(measure.value, 3), 6),
            va="center",
            transform=axes.get_yaxis_transform(),
        )
    axes.set_yticks(range(len(names)), [*map(literal, names)], fontsize=8)
    axes.axvline(1 if ratio else 0, color=palette.BESIDE, lw=0.8)
    axes.set(xlim=(left, right), ylim=(-0.6, len(names) - 0.4))
    axes.set_title(_TITLES[kind], fontsize=9, loc="left")
    if ratio:
        ticks = [tick for tick in _TICKS if left <= tick <= right]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()


def _mark(value: float, span: Interval, required: Required | None) -> dict[str, Any]:
    """Filled where the interval lies in the range, hollow where it leaves it, crossed out of it."""
    outcome = required.decide(value, span) if required else Outcome.PASSED
    if outcome is Outcome.FAILED:
        return {"marker": "X", "color": palette.MISSED, "ms": 8}
    face = "white" if outcome is Outcome.INSUFFICIENT else palette.MEASURED
    return {"marker": "o", "color": palette.MEASURED, "markerfacecolor": face, "ms": 7}


def _ends(values: Sequence[float], *, ratio: bool) -> tuple[float, float]:
    """Where the axis begins and ends: ratios as far on either side of 1."""
    finite = [value for value in values if math.isfinite(value)]
    if ratio:
        far = [max(value, 1 / value) for value in finite if value > 0]
        reach = min(max([1.5, *far]) * 1.1, _FARTHEST)
        return 1 / reach, reach
    low, high = min([-0.1, *finite]), max([0.1, *finite])
    room = 0.05 * (high - low)
    return low - room, high + room
