"""The fairness figures to look at: each with its interval and the range required of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trust_gates.png import png
from trust_gates.statistics import Measure
from trust_gates.verdict import Required


def draw(
    measures: Mapping[str, Measure], required: Mapping[str, Required], confidence: float
) -> bytes:
    """A PNG with one line a figure: its range in green, its value and interval on it.

    The axis ends at -1.05 and 1.6: a ratio or an index beyond it is shown by its number.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.5 * len(measures) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    names = list(measures)[::-1]
    for height, name in enumerate(names):
        measure = measures[name]
        interval = measure.interval(confidence)
        if name in required:
            low, high = max(required[name].low, -1.2), min(required[name].high, 2.0)
            axes.barh(height, high - low, left=low, height=0.7, color="#2e8b57", alpha=0.25)
        if not (math.isfinite(measure.value) and math.isfinite(interval.low)):
            axes.text(0.02, height, "not measurable", va="center", color="#b22222")
            continue
        inside = name not in required or (
            interval.low in required[name] and interval.high in required[name]
        )
        color = "#1f3d5c" if inside else "#b22222"
        axes.plot([interval.low, interval.high], [height, height], color=color, lw=2)
        axes.plot(measure.value, height, "o", color=color)
        axes.text(
            1.02, height, f"{measure.value:+.3f}", va="center", transform=axes.get_yaxis_transform()
        )
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color="#888888", lw=0.8)
    axes.set(xlim=(-1.05, 1.6), title=f"Fairness at {confidence:.0%} confidence; required in green")
    return png(figure)
