"""Is the model made of steps, as trees are, so that its own differences lead an attack nowhere?

Of a model that only answers, gradients are differences of answers that lie close together. What
they say is held against what the answers do within the budget: where they do not foretell it,
attacks follow the gradient of the answers' average over changes of the budget's size instead. No
sign of gradient masking is left out for such a model: black-box attacks may find no more than those
that follow this gradient, and the largest epsilon must still turn nearly everything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness.budget import Budget
from trust_gates.robustness.gradients import loss_gradients
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples
from trust_gates.target import Target

MISLED = 0.1
"""From this share of samples on whose differences foretell nothing, a model is made of steps."""

_FORETOLD = 0.5
"""The least correlation of what the gradient foretells with what the answers do."""

_ASKED, _CHANGES = 64, 32


def recognised(target: Target, samples: Samples, budget: Budget) -> tuple[Target, float]:
    """The target as attacks are to follow it, and the share of samples that differences mislead.

    A model with gradients of its own is as it was, and so is one whose differences say enough.
    """
    if target.averaged is None:
        return target, 0.0
    some = np.random.default_rng(budget.seed).permutation(len(samples))[:_ASKED]
    share = _misled(Victim.of(target, samples), samples.take(np.sort(some)), budget)
    return (target, share) if share > MISLED else (replace(target, averaged=None), share)


def note(share: float) -> str:
    """What a reader must know of how a model of steps was attacked."""
    from trust_gates.inputs.opaque import PAIRS

    return (
        f"a model of steps: differences of close answers foretell nothing for {share:.2f} of the "
        f"samples, so white-box attacks followed the gradient of its answers averaged over changes "
        f"of the budget's size (Ilyas et al. 2018), estimated by {2 * PAIRS} questions a step"
    )


def _misled(victim: Victim, samples: Samples, budget: Budget) -> float:
    """The share of samples where the gradient does not foretell how the log-odds change."""
    gradients = loss_gradients(victim, samples, log_odds=True).astype(np.float64)
    sizes = victim.evenly(budget)
    signs = np.random.default_rng(budget.seed).integers(0, 2, size=(_CHANGES, *victim.shape))
    changes = ((2 * signs - 1) * sizes).astype(np.float32)
    low, high = victim.room(samples.inputs)
    foretold, seen = [], []
    for change in changes:
        up, down = (
            _odds(victim, (samples.inputs + way * change).clip(low, high), samples)
            for way in (1, -1)
        )
        seen.append(up - down)
        foretold.append((gradients * change).reshape(len(samples), -1).sum(axis=1))
    return float(np.mean(~(_correlation(np.array(foretold), np.array(seen)) >= _FORETOLD)))


def _odds(victim: Victim, inputs: Inputs, samples: Samples) -> NDArray[np.float64]:
    """(N,): the log-odds of a wrong answer, as attacks raise them."""
    import torch

    from trust_gates.robustness.native import losses

    logits = torch.from_numpy(victim.target.logits(inputs.astype(np.float32)))
    labels = torch.as_tensor(np.asarray(samples.labels))
    return losses.cross_entropy(logits, labels, labels).numpy()


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): of each column with its like; 0 where one of them does not vary or is not finite."""
    a, b = (one - one.mean(axis=0) for one in (left, right))
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        found: NDArray[np.float64] = np.divide(
            (a * b).sum(axis=0), size, out=np.zeros(a.shape[1]), where=size > 0
        )
    return found
