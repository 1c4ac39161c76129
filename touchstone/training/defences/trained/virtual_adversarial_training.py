"""Virtual adversarial training: answers stay smooth in the direction where they move most.

Miyato et al., "Virtual adversarial training: a regularization method for supervised and
semi-supervised learning", TPAMI 2019, equations 5 to 12. No label is needed to find the direction.
"""

from __future__ import annotations

import torch

from touchstone.training.defences.ball import unit
from touchstone.training.defences.trained.method import Trained, quiet
from touchstone.training.defences.trained.trades import divergence
from touchstone.training.spec import Batch

_FINITE = 1e-2
"""The length of the finite difference: small, and yet far above float32's rounding."""


class VirtualAdversarialTraining(Trained):
    """Adds `alpha` times the divergence of answers at the virtual adversarial inputs."""

    classifiers_only = True

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The inner loss plus the local smoothness of the answers."""
        option, inputs = self.defence.option, batch.inputs
        direction = torch.randn(inputs.shape, generator=self.generator).to(inputs)
        with quiet(module, batch.inputs.device):
            clean = self.logits(module, inputs).detach()
            for _ in range(option("iterations")):
                # The power method: the gradient is the Hessian times the direction.
                probe = (_FINITE * unit(direction)).requires_grad_()
                moved = divergence(clean, self.logits(module, inputs + probe))
                (direction,) = torch.autograd.grad(moved, probe)
        attacked = inputs + option("epsilon") * unit(direction)
        # The clean answers are the target, not a thing to learn (their equation 6).
        target = self.logits(module, inputs).detach()
        smoothness = divergence(target, self.logits(module, attacked))
        total: torch.Tensor = self.inner.loss(module, batch) + option("alpha") * smoothness
        return total


wrap = VirtualAdversarialTraining
