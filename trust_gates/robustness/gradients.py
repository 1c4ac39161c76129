"""The loss's gradient to the inputs themselves: does it vanish, and how steep is it?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness.attacks.attack import BATCH
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples


def loss_gradients(
    victim: Victim, samples: Samples, *, log_odds: bool = False
) -> NDArray[np.float32]:
    """(N, ...): of each sample's own loss, to every value, also those out of the attacker's reach.

    A classifier's loss is the cross-entropy, a detector's its own, of what it claims itself.

    Args:
        log_odds: of a classifier the log-odds of a wrong answer instead, which attacks follow: they
            rise with the cross-entropy, but vanish only where the logits themselves have no slope.
    """
    if victim.detection:
        found: NDArray[np.float32] = victim.estimator.loss_gradient(
            samples.inputs, victim.told(samples)
        )
        return found
    starts = range(0, len(samples), BATCH)
    parts = [
        _of_classifier(victim, samples.take(np.arange(len(samples))[start:][:BATCH]), log_odds)
        for start in starts
    ]
    return np.concatenate([np.zeros((0, *samples.inputs.shape[1:]), np.float32), *parts])


def _of_classifier(victim: Victim, samples: Samples, log_odds: bool) -> NDArray[np.float32]:
    import torch

    from trust_gates.robustness.native import losses

    inputs = victim.target.tensor(samples.inputs).requires_grad_()
    labels = torch.as_tensor(np.asarray(samples.labels), device=inputs.device)
    logits = victim.target.differentiable(inputs)
    if log_odds:
        loss = losses.cross_entropy(logits, labels, labels).sum()
    else:
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, inputs)
    found: NDArray[np.float32] = gradient.cpu().numpy()
    return found
