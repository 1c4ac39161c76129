"""Gaussian augmentation: some samples of each batch get noise.

Zantedeschi, Nicolae and Rawat, "Efficient defenses against adversarial attacks", AISec 2017.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from touchstone.training.defences.trained.method import Trained
from touchstone.training.spec import Batch


class GaussianAugmentation(Trained):
    """Adds noise of `sigma` to a random `share` of the samples, within the inputs' range."""

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The inner augmentation, then noise."""
        batch = super().augment(batch, generator)
        inputs = batch.inputs
        noise = torch.randn(inputs.shape, generator=generator).to(inputs)
        chosen = torch.rand(len(inputs), generator=generator) < self.defence.option("share")
        rows = chosen.to(inputs.device).reshape(-1, *[1] * (inputs.ndim - 1))
        noisy = inputs + self.defence.option("sigma") * noise
        noisy = noisy.clamp(float(self.inputs["low"]), float(self.inputs["high"]))
        return replace(batch, inputs=torch.where(rows, noisy, inputs))


wrap = GaussianAugmentation
