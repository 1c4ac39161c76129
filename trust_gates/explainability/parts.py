"""The parts of an input that are ranked, removed and put back: features, the columns of a table
that several features are of, or cells of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_CELLS = 8
"""Cells along the longer side of an image. Single pixels hold no evidence of their own, and
taking them out one by one makes inputs like no image (Samek et al. 2017 remove regions)."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Each value of an input belongs to one part; all channels of a pixel to the same, and all
    features of a column."""

    number: NDArray[np.int64]
    """(F,), or (1, H, W): the part of each value."""

    @classmethod
    def of(cls, shape: Sequence[int], columns: Sequence[str] = ()) -> Parts:
        """The parts of inputs shaped (F,) or (C, H, W).

        Args:
            columns: (F,), what each feature is of; empty where each stands for itself.
        """
        if len(shape) == 1:
            places = {name: place for place, name in enumerate(dict.fromkeys(columns))}
            number = [places[name] for name in columns] if columns else range(shape[0])
            return cls(np.array(number, dtype=np.int64))
        height, width = shape[1:]
        side = -(-max(height, width) // _CELLS)
        across = -(-width // side)
        down, right = np.arange(height) // side, np.arange(width) // side
        return cls((down[:, None] * across + right[None, :])[None])

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.number.max()) + 1

    def total(self, attributions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, count): the sum of each part's attributions (n, F) or (n, C, H, W)."""
        flat = attributions.sum(axis=1) if attributions.ndim == 4 else attributions
        totals = np.zeros((len(flat), self.count))
        np.add.at(totals.T, self.number.ravel(), flat.reshape(len(flat), self.number.size).T)
        return totals

    def divided(self, attributions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Attributions (n, F) whose sizes in a part add up to the size of its total.

        Two words of one column are one decision: what speaks for the one and against the other is
        said once.
        """
        size = np.abs(attributions)
        whole = self.total(size)[:, self.number]
        total = self.total(attributions)[:, self.number]
        found: NDArray[np.float64] = np.divide(
            total * size, whole, out=np.zeros_like(size), where=whole > 0
        )
        return found

    def pick(
        self, chosen: NDArray[np.bool_], where: NDArray[np.float32], rest: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Inputs made of `where` in the chosen parts (n, count) and of `rest` in the others."""
        return np.where(chosen[:, self.number], where, rest)

    def numbers(self, device: str) -> torch.Tensor:
        """The parts as captum's feature mask, with a batch dimension."""
        import torch

        return torch.from_numpy(self.number)[None].to(device)

    def sizes(self, shape: Sequence[int], device: str) -> torch.Tensor:
        """For each value of an input shaped `shape`, how many values its part has."""
        import torch

        pixels = np.bincount(self.number.ravel())[self.number]
        return torch.from_numpy(pixels * (shape[0] if len(shape) > 1 else 1)).to(device)
