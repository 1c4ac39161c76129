"""Rows that weigh differently, for any spec whose loss is a mean over samples."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from touchstone.training.spec import Batch
from touchstone.training.wrapped import Wrapped

if TYPE_CHECKING:
    import torch


class Weighted(Wrapped):
    """A spec whose loss is the mean of weight x loss over samples.

    Rows of equal weight are given to the spec's loss together, so a batch costs as many calls as
    it has different weights: one for each group and label with `reweighing`.
    """

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The weighted mean."""
        import torch

        assert batch.weights is not None  # noqa: S101 (set with a mitigation)
        total = batch.weights.new_zeros(())
        for weight in torch.unique(batch.weights):
            rows = batch.weights == weight
            share = weight * rows.float().mean()
            total = total + share * self.inner.loss(module, _take(batch, rows))
        return total


def _take(batch: Batch, rows: torch.Tensor) -> Batch:
    given: dict[str, Any] = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{n: value[rows] for n, value in given.items() if value is not None})
