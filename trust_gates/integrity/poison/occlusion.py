"""What do the inputs show when a small window of them is hidden? Neighbours say, without the model.

A trigger is local. With its window hidden, a poisoned sample looks like others of its true class,
although its label says otherwise; a clean one keeps looking like its label whatever is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Ints, Samples

_NEIGHBOURS = 5
_PARTS = 4
"""A window's side is this part of the image's; windows overlap by half."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """What each sample's nearest neighbours are labelled as, for each hidden window."""

    windows: tuple[tuple[slice, slice], ...]
    """Rows and columns; of rows of features one window that hides nothing."""

    votes: Ints
    """(W, N, 5): labels of the nearest neighbours."""

    labels: Ints
    """(N,)."""

    @property
    def contradicted(self) -> Bools:
        """(W, N): most neighbours have another label than the sample."""
        same: Ints = (self.votes == self.labels[None, :, None]).sum(axis=2)
        doubted: Bools = 2 * same < self.votes.shape[2]
        return doubted

    @property
    def alike(self) -> Bools:
        """(N,): the sample looks like its label whichever window is hidden."""
        return np.logical_not(self.contradicted.any(axis=0))


def shown(samples: Samples) -> Shown:
    """Find everyone's neighbours with every window hidden.

    Raises:
        ValueError: the samples have no labels, or are fewer than a sample and its neighbours.
    """
    if samples.labels is None or len(samples) <= _NEIGHBOURS:
        raise ValueError(f"got {len(samples)} samples, expected more than {_NEIGHBOURS} labelled")
    inputs = samples.inputs.astype(np.float32)
    whole = _squared(inputs.reshape(len(inputs), -1))
    np.fill_diagonal(whole, np.inf)
    if inputs.ndim != 4:
        nearest = np.argpartition(whole, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        nothing = ((slice(0, 0), slice(0, 0)),)
        return Shown(windows=nothing, votes=samples.labels[nearest][None], labels=samples.labels)
    windows = tuple((y, x) for y in _spans(inputs.shape[2]) for x in _spans(inputs.shape[3]))
    votes = np.empty((len(windows), len(inputs), _NEIGHBOURS), dtype=np.int64)
    for index, (y, x) in enumerate(windows):
        # What is hidden adds nothing to a distance: take its part away from the whole.
        left = whole - _squared(inputs[:, :, y, x].reshape(len(inputs), -1))
        votes[index] = samples.labels[np.argpartition(left, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]]
    return Shown(windows=windows, votes=votes, labels=samples.labels)


def hide(
    inputs: NDArray[np.float32], window: tuple[slice, slice], mean: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Images (n, C, H, W) with the window of the mean image (C, H, W) in place of their own."""
    hidden = inputs.copy()
    hidden[:, :, window[0], window[1]] = mean[:, window[0], window[1]]
    return hidden


def _spans(side: int) -> list[slice]:
    size = max(2, side // _PARTS)
    starts = sorted({*range(0, side - size + 1, max(1, size // 2)), side - size})
    return [slice(start, start + size) for start in starts]


def _squared(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, N) squared distances of rows (N, D)."""
    norms = np.square(rows).sum(axis=1)
    result: NDArray[np.float32] = norms[:, None] + norms[None, :] - 2 * rows @ rows.T
    return result
