"""A regression under attack: is its number still within the tolerance of the truth?

Attacks know classes, and a number has three: too low, within the tolerance, too high. Which of them
it is depends on the sample's own truth, so that travels as one more slice of each input (a column
of a row, a channel of an image), which no attacker can change and no gradient leads to. All that is
known of classifiers then holds: what an attack breaks, what a weak model loses, how masked
gradients show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trust_gates.reach import Reach
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import Attacked
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, mean, proportion, resample_weights
from trust_gates.target import Predict, Target, Watch, column

if TYPE_CHECKING:
    import torch

WITHIN, ERROR = "robust_within_tolerance", "robust_mean_absolute_error"
"""The figures of a regression."""

CLASSES = ("too low", "within the tolerance", "too high")
_INSIDE = 1

_TILT = 0.01
"""One side is this much steeper than the other, so that a number that is exactly the truth has a
slope too; where a number leaves the band stays as it is."""

_FAR = 10.0
"""So many times the size of the truths is out of any number's sight."""

_DEAREST = 500
"""Passes a sample: attacks dearer than that do not look for the largest error as well."""


def of(target: Target, samples: Samples, tolerance: float) -> tuple[Target, Samples]:
    """The regression as a classifier of `CLASSES`, and the samples with their truths inside."""
    assert samples.targets is not None  # noqa: S101 (only called so)
    return _classifier(target, samples, tolerance), _labelled(samples, samples.targets)


def plain(inputs: Inputs) -> Inputs:
    """The inputs without the truths inside."""
    return inputs[:, :-1]


def of_constant(samples: Samples, tolerance: float, seed: int) -> dict[str, Measure]:
    """What one number for all samples reaches in each figure, the best one for it."""
    assert samples.targets is not None  # noqa: S101 (only called so)
    truth = np.sort(np.asarray(samples.targets, dtype=np.float64))
    reached = np.searchsorted(truth, truth + 2 * tolerance, side="right")
    most = int((reached - np.arange(len(truth))).max(initial=0))
    errors = np.abs(truth - np.median(truth))
    return {
        WITHIN: proportion(most, len(truth)),
        ERROR: mean(errors, resample_weights(len(truth), seed)),
    }


def largest_errors(
    target: Target,
    samples: Samples,
    names: Sequence[str],
    budget: Budget,
    attacked: Attacked,
) -> Measure:
    """The mean over the samples of the largest error that was found within the budget.

    Each attack of `names` that is not too dear pushes every number up and down as far as it goes:
    those of the gate stop where the tolerance is left. What these found counts as well.
    """
    assert samples.targets is not None  # noqa: S101 (only called so)
    truth = np.asarray(samples.targets, dtype=np.float64)
    far = _FAR * float(np.ptp(truth) + np.abs(truth).max() or 1.0)
    asked = _classifier(target, samples, 4 * far)  # which nothing leaves: every step is taken
    found = [plain(attacked.inputs)]
    chosen = [name for name in names if attacks.ATTACKS[name].cost <= _DEAREST]
    for side in (-far, far):
        aimed = _labelled(samples, truth + side)
        victim = Victim.of(asked, aimed)
        found += [plain(attacks.run(name, victim, aimed, budget)) for name in chosen]
    errors = np.abs([target.logits(inputs)[:, 0] - truth for inputs in [samples.inputs, *found]])
    # What is no number is wrong without any bound.
    worst = np.where(np.isnan(errors), np.inf, errors).max(axis=0)
    return mean(worst, resample_weights(len(worst), budget.seed))


def _labelled(samples: Samples, truth: NDArray[np.floating]) -> Samples:
    within = np.full(len(samples), _INSIDE, dtype=np.int64)
    shape = (len(samples), 1, *samples.inputs.shape[2:])
    slices = np.broadcast_to(truth.reshape(-1, *[1] * (len(shape) - 1)), shape)
    return Samples(
        inputs=np.concatenate([samples.inputs, slices], axis=1, dtype=np.float32),
        classes=CLASSES,
        labels=within,
        groups=samples.groups,
        declared=samples.declared,
    )


def _classifier(target: Target, samples: Samples, tolerance: float) -> Target:
    def banded(own: Predict) -> Predict:
        def predict(inputs: torch.Tensor) -> torch.Tensor:
            import torch

            numbers = column(own(_seen(inputs)))[:, 0]
            truth = inputs[:, -1].flatten(1)[:, 0] if inputs.ndim > 2 else inputs[:, -1]
            off = (numbers - truth.detach()) / tolerance
            return torch.stack([-off - 1, torch.zeros_like(off), (1 + _TILT) * (off - 1)], dim=1)

        return predict

    averaged = None
    if (smooth := target.averaged) is not None:

        def averaged(sizes: NDArray[np.float32], seed: int) -> Predict:
            return banded(smooth(sizes[:-1], seed))

    watch = None
    if (own := target.watch) is not None:
        watch = Watch(lambda inputs: own.suspicion(_seen(inputs)), own.threshold)
    return replace(
        target,
        predict=banded(target.predict),
        averaged=averaged,
        watch=watch,
        reach=_reach(target, samples),
    )


def _seen(inputs: torch.Tensor) -> torch.Tensor:
    """What the model sees of them, in the memory order that it is always given."""
    import torch

    seen = inputs[:, :-1]
    if seen.ndim == 4:
        return seen.contiguous(memory_format=torch.channels_last)
    return seen.contiguous()


def _reach(target: Target, samples: Samples) -> Reach:
    """The target's own, without any room for the truth."""
    shape = samples.inputs.shape[1:]
    own = target.reach or Reach(
        low=np.array([target.low], dtype=np.float32),
        high=np.array([target.high], dtype=np.float32),
        immutable=np.array([False]),
        observed=True,
    )

    def wider(values: NDArray[np.generic], last: float | bool) -> NDArray[np.generic]:
        inside = np.broadcast_to(values, shape)
        return np.concatenate([inside, np.full((1, *shape[1:]), last)], dtype=values.dtype)

    return Reach(
        low=wider(own.low, 0.0),  # type: ignore[arg-type]  # of the type that it is given
        high=wider(own.high, 0.0),  # type: ignore[arg-type]
        immutable=wider(own.immutable, True),  # type: ignore[arg-type]
        observed=own.observed,
        beside=own.beside,
    )
