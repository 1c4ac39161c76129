"""Trigger inversion: the smallest mark that sends everything to one class (Neural Cleanse).

Wang et al., Neural Cleanse (IEEE S&P 2019), sections IV and V. ART has it for Keras only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.target import Target

INVERSION = "trigger_inversion"
"""Its name in a policy."""

FEWEST_CLASSES = 5
"""With fewer, the median deviation of the classes' mark sizes says nothing."""

ANOMALOUS = 3.5
"""The cutoff of Iglewicz and Hoaglin (1993): the paper's 2 flags every fifth clean model of ten
classes by chance."""

LARGEST = 64 << 20
"""Most input values that the search passes through the model: it bounds the time."""

_STEPS = 150
_SAMPLES = 48
_RATE = 0.1
_WEIGHT = 0.02


def cost(inputs: NDArray[np.float32], classes: int) -> int:
    """How many input values `mark_sizes` passes through the model."""
    return min(_SAMPLES, len(inputs)) * classes * _STEPS * int(np.prod(inputs.shape[1:]))


def mark_sizes(
    target: Target, inputs: NDArray[np.float32], classes: int, *, seed: int
) -> NDArray[np.float64]:
    """(K,): for each class the sum of the smallest mask found, in pixels.

    One mask (H, W) and one pattern (C, H, W) a class, both through a sigmoid, found by Adam on
    the cross-entropy plus the mask's size; a class whose mark does not work gets infinity.
    """
    import torch

    rows = np.random.default_rng(seed).permutation(len(inputs))[:_SAMPLES]
    images = target.tensor(inputs[rows])
    span = target.high - target.low
    sizes = np.full(classes, np.inf)
    for label in range(classes):
        mask = torch.full(images.shape[2:], -2.0, device=images.device, requires_grad=True)
        pattern = torch.zeros(images.shape[1:], device=images.device, requires_grad=True)
        optimizer = torch.optim.Adam([mask, pattern], lr=_RATE)
        wanted = torch.full((len(images),), label, device=images.device)
        for _ in range(_STEPS):
            share = mask.sigmoid()
            marked = images * (1 - share) + share * (pattern.sigmoid() * span + target.low)
            logits = target.predict(marked)
            loss = torch.nn.functional.cross_entropy(logits, wanted) + _WEIGHT * share.sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            works = (logits.argmax(dim=1) == wanted).float().mean().item() >= 0.95
            if works:
                sizes[label] = min(sizes[label], float(share.detach().sum()))
    return sizes


def anomalies(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,): how many median deviations a class's mark is smaller than the median; 0 if larger.

    The median absolute deviation is taken as at least a twentieth of the median: marks that are
    all nearly equal make no anomaly of the smallest.
    """
    finite = np.where(np.isfinite(sizes), sizes, np.nanmax(np.where(np.isfinite(sizes), sizes, 0)))
    median = np.median(finite)
    spread = max(1.4826 * np.median(np.abs(finite - median)), median / 20, 1e-9)
    result: NDArray[np.float64] = np.maximum(median - finite, 0) / spread
    return result
