"""Prejudice Remover: the loss also counts what predictions tell about the group.

Kamishima, Akaho, Asoh and Sakuma, "Fairness-aware classifier with prejudice remover
regularizer", ECML PKDD 2012: eta times the prejudice index, the mutual information between
prediction and group, estimated on each batch. A twin of AIF360's, which starts a bare `python`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import log_odds
from touchstone.training.spec import Batch, ModelSpec
from touchstone.training.wrapped import Wrapped

if TYPE_CHECKING:
    import torch


def wrap(spec: ModelSpec, mitigation: Mitigation, favorable: int) -> ModelSpec:
    """`spec` with the regularized loss."""
    return PrejudiceRemover(spec, float(mitigation.option("eta")), favorable)


class PrejudiceRemover(Wrapped):
    """A spec whose loss is its own plus eta x the prejudice index (their eq. 7)."""

    def __init__(self, spec: ModelSpec, eta: float, favorable: int) -> None:
        super().__init__(spec)
        self.eta, self.favorable = eta, favorable

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The regularized loss."""
        score = log_odds(self.inner, module, batch, self.favorable).sigmoid()
        assert batch.privileged is not None  # noqa: S101 (set with a mitigation)
        return self.inner.loss(module, batch) + self.eta * prejudice(score, batch.privileged)


def prejudice(score: torch.Tensor, privileged: torch.Tensor) -> torch.Tensor:
    """Mutual information, in nats, between a prediction (its probability, (N,)) and the group."""
    import torch

    total = score.new_zeros(())
    everywhere = torch.stack([score.mean(), 1 - score.mean()]).clamp_min(1e-7)
    for side in (privileged, ~privileged):
        if side.any():
            here = torch.stack([score[side].mean(), 1 - score[side].mean()]).clamp_min(1e-7)
            total = total + side.float().mean() * (here * (here / everywhere).log()).sum()
    return total
