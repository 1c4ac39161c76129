"""Is it as often right as it is sure? Expected calibration error, and the reliability diagram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.png import png
from trust_gates.samples import Bools

Array = NDArray[np.float64]

_BINS = 15


def error(weights: Array, confidence: Array, right: Bools, unit: NDArray[np.int64]) -> Array:
    """(R,): expected calibration error for weights of units (R, units).

    Guo et al., On Calibration of Modern Neural Networks (ICML 2017), 15 bins of equal width.
    Estimated on few samples, and more so on resamples of them, it comes out too large and never
    too small on average: an upper bound on it errs against the model.

    Args:
        confidence: (n,) of each answer, 0 to 1; a NaN makes the error NaN.
        right: (n,) whether the answer is right.
        unit: (n,) the unit (sample, image) of each answer.
    """
    if np.isnan(confidence).any() or not len(confidence):
        return np.full(len(weights), np.nan)
    bins = _bin(confidence)
    gaps = np.zeros(len(weights))
    for number in range(_BINS):
        inside = bins == number
        if inside.any():
            gaps += np.abs(weights[:, unit[inside]] @ (confidence[inside] - right[inside]))
    total = weights @ np.bincount(unit, minlength=weights.shape[1])
    result: Array = np.divide(gaps, total, out=np.full(len(gaps), np.nan), where=total > 0)
    return result


def diagram(confidence: Array, right: Bools, level: float) -> bytes:
    """A PNG: for each bin of confidence the share that is right, with its exact interval."""
    from matplotlib.figure import Figure

    from trust_gates.statistics import proportion

    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    known = ~np.isnan(confidence)
    bins = _bin(confidence[known])
    for number in np.unique(bins):
        inside = bins == number
        share = proportion(int(right[known][inside].sum()), int(inside.sum()))
        interval = share.interval(level)
        sure = confidence[known][inside].mean()
        above.plot([sure, sure], [interval.low, interval.high], color=palette.MEASURED)
        above.plot(sure, share.value, "o", color=palette.MEASURED)
    above.plot([0, 1], [0, 1], ls="--", color=palette.BESIDE, label="as right as sure")
    above.set(ylabel="share right", xlim=(0, 1), ylim=(-0.03, 1.03))
    above.legend(loc="upper left")
    below.hist(confidence[known], bins=np.linspace(0, 1, _BINS + 1), color=palette.MEASURED)
    below.set(xlabel="how sure it is", ylabel="answers")
    return png(figure)


def _bin(confidence: Array) -> NDArray[np.int64]:
    return np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
