"""Adversarial training at the price of one more gradient: FGSM from a random start.

Wong, Rice and Kolter, "Fast is better than free: revisiting adversarial training", ICLR 2020.
"""

from __future__ import annotations

from typing import Any

import torch

from touchstone.training.defences.ball import Ball
from touchstone.training.defences.trained.adversarial_training import AdversarialTraining

_REACH = 1.25
"""Of the radius; longer steps overfit to FGSM (their section 5.2)."""


class FastAdversarialTraining(AdversarialTraining):
    """As `AdversarialTraining` with one step."""

    def attack(self, ball: Ball, loss: Any, inputs: torch.Tensor) -> torch.Tensor:
        """FGSM from a random start."""
        start = ball.random(inputs, self.generator)
        return ball.climb(loss, inputs, start=start, steps=1, reach=_REACH)


wrap = FastAdversarialTraining
