"""A regression's figures, each for any weights of the samples; as scikit-learn defines them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.png import png
from trust_gates.samples import Samples

Array = NDArray[np.float64]

_SHOWN = 2000
"""Points of the picture: more of them make a blot."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a regression said about N samples."""

    predicted: Array
    """(N,): NaN where the answer is no number."""

    targets: Array
    """(N,)."""

    @classmethod
    def of(cls, numbers: Array, samples: Samples) -> Answers:
        """The answers that numbers (N, 1) mean."""
        predicted = numbers.reshape(len(samples)).astype(np.float64)
        return cls(
            predicted=np.where(np.isfinite(predicted), predicted, np.nan),
            targets=np.asarray(samples.targets, dtype=np.float64),
        )

    @property
    def error(self) -> Array:
        """(N,): how far each answer is from the truth."""
        return np.abs(self.predicted - self.targets)

    def r2(self, weights: Array) -> Array:
        """(R,), as in `figures`."""
        found: Array = 1 - _mean((self.targets - self.predicted) ** 2, weights) / self._spread(
            weights
        )
        return found

    def _spread(self, weights: Array) -> Array:
        """(R,): the variance of the targets; NaN where they are all equal."""
        middle = self.targets.mean()  # large targets cancel out
        off = self.targets - middle
        spread = _mean(off**2, weights) - _mean(off, weights) ** 2
        return np.where(spread > 0, spread, np.nan)

    def figures(self, weights: Array) -> dict[str, Array]:
        """`r2`, `explained_variance` and four mean or median errors, each (R,).

        A NaN among the answers makes every figure NaN, which never passes; so does a resample
        whose targets are all equal, in the first two.
        """
        residual = self.targets - self.predicted
        squared = _mean(residual**2, weights)
        unexplained = squared - _mean(residual, weights) ** 2
        nearly = np.maximum(np.abs(self.targets), np.finfo(np.float64).eps)
        return {
            "r2": self.r2(weights),
            "explained_variance": 1 - unexplained / self._spread(weights),
            "mean_absolute_error": _mean(self.error, weights),
            "root_mean_squared_error": np.sqrt(squared),
            "median_absolute_error": _median(self.error, weights),
            "mean_absolute_percentage_error": _mean(self.error / nearly, weights),
        }


def _mean(values: Array, weights: Array) -> Array:
    """(R,): the mean of values (N,), of which each counts as often as the weights say."""
    found: Array = weights @ values / weights.sum(axis=1)
    return found


def _median(values: Array, weights: Array) -> Array:
    """(R,): the median of values (N,), of which each counts as often as the weights say."""
    if np.isnan(values).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    reached = weights[:, order].cumsum(axis=1)
    half = reached[:, -1:] / 2
    # Where just half of them are reached, the median lies between two values.
    low, high = (reached >= half).argmax(axis=1), (reached > half).argmax(axis=1)
    found: Array = (values[order][low] + values[order][high]) / 2
    return found


def diagram(answers: Answers) -> bytes:
    """A PNG of what was predicted against what is true; on the line both are the same."""
    from matplotlib.figure import Figure

    step = -(-len(answers.targets) // _SHOWN)
    truth, said = answers.targets[::step], answers.predicted[::step]
    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    ends = [float(truth.min()), float(truth.max())]
    axes.plot(ends, ends, color=palette.BESIDE, linestyle=":", label="as it is")
    axes.scatter(truth, said, s=8, color=palette.MEASURED, alpha=0.5, label="samples")
    axes.set(xlabel="true number", ylabel="predicted number")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return png(figure)
