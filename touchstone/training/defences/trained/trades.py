"""TRADES: the loss of clean inputs, plus how far answers move within the ball.

Zhang et al., "Theoretically principled trade-off between robustness and accuracy", ICML 2019,
equation 5 and algorithm 1.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from touchstone.training.defences.ball import Ball
from touchstone.training.defences.trained.method import Trained, quiet
from touchstone.training.spec import Batch

_NOISE = 0.001
"""The attack starts this near the inputs: at them its gradient is 0."""


class Trades(Trained):
    """Classifiers' answers stay where they are when inputs are attacked."""

    classifiers_only = True

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The inner loss plus `beta` times the mean divergence of attacked from clean answers."""
        option, inputs = self.defence.option, batch.inputs
        ball = Ball.of(option("norm"), option("epsilon"), self.inputs)
        noise = _NOISE * torch.randn(inputs.shape, generator=self.generator).to(inputs)
        with quiet(module, batch.inputs.device):
            clean = self.logits(module, inputs).detach()
            attacked = ball.climb(
                lambda x: divergence(clean, self.logits(module, x)),
                inputs,
                start=ball.project(noise, inputs),
                steps=option("steps"),
            )
        moved = divergence(self.logits(module, inputs), self.logits(module, attacked))
        total: torch.Tensor = self.inner.loss(module, batch) + option("beta") * moved
        return total


def divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Mean Kullback-Leibler divergence of the answers `after` (logits) from those `before`."""
    return F.kl_div(
        after.log_softmax(dim=1), before.log_softmax(dim=1), reduction="batchmean", log_target=True
    )


wrap = Trades
