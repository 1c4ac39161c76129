"""Adversarial training: learn from the worst inputs near the given ones, found anew each step.

Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018. It needs
the spec's loss and its gradient alone, so detectors train so too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from touchstone.training.defences.ball import Ball
from touchstone.training.defences.trained.method import Trained, quiet
from touchstone.training.spec import Batch


class AdversarialTraining(Trained):
    """The loss of a `share` of each batch is that of its adversarial inputs."""

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The loss after an attack on the network as it is now."""
        option = self.defence.option
        ball = Ball.of(option("norm"), option("epsilon"), self.inputs)
        inputs = batch.inputs
        with quiet(module, batch.inputs.device):
            attacked = self.attack(
                ball, lambda x: self.inner.loss(module, replace(batch, inputs=x)), inputs
            )
        count = round(option("share") * len(inputs))
        mixed = torch.cat([attacked[:count], inputs[count:]])
        return self.inner.loss(module, replace(batch, inputs=mixed))

    def attack(self, ball: Ball, loss: Any, inputs: torch.Tensor) -> torch.Tensor:
        """PGD from a random start."""
        start = ball.random(inputs, self.generator)
        return ball.climb(loss, inputs, start=start, steps=self.defence.option("steps"))


wrap = AdversarialTraining
