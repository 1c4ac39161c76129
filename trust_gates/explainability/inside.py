"""Does what speaks for an object lie in the object? Or is it the surroundings that give it away?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.statistics import Measure, proportion

Array = NDArray[np.float64]
Masks = NDArray[np.bool_]


def pixels(boxes: Array, height: int, width: int) -> Masks:
    """(n, height, width): the pixels whose middle lies in the box (n, 4), x1 y1 x2 y2."""
    x1, y1, x2, y2 = boxes.T[:, :, None]
    across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
    columns, rows = (x1 <= across) & (across < x2), (y1 <= down) & (down < y2)
    inside: Masks = rows[:, :, None] & columns[:, None, :]
    return inside


def energy(attributions: Array, inside: Masks) -> Array:
    """(n,): the share of what speaks for each object (n, C, H, W) that lies inside it.

    The energy-based pointing game of Wang et al., Score-CAM (CVPR workshops 2020).
    """
    speaking = np.clip(attributions.sum(axis=1), 0, None)
    total = speaking.sum(axis=(1, 2))
    within = (speaking * inside).sum(axis=(1, 2))
    share: Array = np.divide(within, total, out=np.zeros(len(total)), where=total > 0)
    return share


def pointing(attributions: Array, inside: Masks) -> Measure:
    """The pointing game of Zhang et al., Top-down Neural Attention (ECCV 2016), no tolerance."""
    speaking = attributions.sum(axis=1).reshape(len(attributions), -1)
    rows = np.arange(len(speaking))
    hits = inside.reshape(len(inside), -1)[rows, speaking.argmax(axis=1)]
    return proportion(int((hits & (speaking.max(axis=1) > 0)).sum()), len(hits))
