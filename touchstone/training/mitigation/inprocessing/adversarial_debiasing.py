"""Adversarial Debiasing: the model unlearns whatever lets an adversary guess the group.

Zhang, Lemoine and Mitchell, "Mitigating unwanted biases with adversarial learning", AIES 2018.
A twin of AIF360's, which needs TensorFlow 1. The update is theirs (eq. 1): the loss's gradient,
less its projection on the adversary's, less alpha times the adversary's. From an alpha of about
0.5 on the game tends to end in a model that answers everybody alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import log_odds
from touchstone.training.spec import Batch, ModelSpec
from touchstone.training.wrapped import Wrapped

if TYPE_CHECKING:
    import torch

_HIDDEN = 16
_RATE = 0.02


def wrap(spec: ModelSpec, mitigation: Mitigation, favorable: int) -> ModelSpec:
    """`spec` trained against an adversary."""
    return AdversarialDebiasing(spec, mitigation, favorable)


class AdversarialDebiasing(Wrapped):
    """A spec whose gradient is the debiased one.

    The adversary learns inside `loss`, from the answers of each batch. Under several ranks each
    has an adversary of its own; the model's gradients are averaged as always.
    """

    def __init__(self, spec: ModelSpec, mitigation: Mitigation, favorable: int) -> None:
        super().__init__(spec)
        self.favorable = favorable
        self.alpha = float(mitigation.option("alpha"))
        self.steps = int(mitigation.option("adversary_steps"))
        self.sees_label = mitigation.option("constraint") == "equalized_odds"
        self.adversary: Any = None
        self.optimizer: Any = None

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The model's own loss in value; the debiased update as gradient."""
        import torch

        odds = log_odds(self.inner, module, batch, self.favorable)
        own = self.inner.loss(module, batch)
        if self.adversary is None:
            self._enter(odds)
        for _ in range(self.steps):
            self.optimizer.zero_grad()
            self._guess(odds.detach(), batch).backward()
            self.optimizer.step()
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        ours = _gradient(own, weights)
        theirs = _gradient(self._guess(odds, batch), weights)
        direction = theirs / theirs.norm().clamp_min(1e-12)
        update = ours - (ours @ direction) * direction - self.alpha * theirs
        # A sum whose gradient is the update, so that the optimizer and all ranks get it.
        carrier = torch.cat([weight.reshape(-1) for weight in weights]) @ update
        total: torch.Tensor = own.detach() + carrier - carrier.detach()
        return total

    def _enter(self, odds: torch.Tensor) -> None:
        import torch

        inputs = 3 if self.sees_label else 1
        with torch.random.fork_rng():  # the model's own randomness is as without an adversary
            torch.manual_seed(0)
            self.adversary = torch.nn.Sequential(
                torch.nn.Linear(inputs, _HIDDEN), torch.nn.Tanh(), torch.nn.Linear(_HIDDEN, 1)
            ).to(odds.device)
        self.optimizer = torch.optim.Adam(self.adversary.parameters(), lr=_RATE)

    def _guess(self, odds: torch.Tensor, batch: Batch) -> Any:
        """The adversary's loss: how badly it guesses the group, each group counted equally."""
        import torch

        assert batch.privileged is not None and batch.labels is not None  # noqa: S101
        seen = odds[:, None]
        if self.sees_label:
            true = (batch.labels == self.favorable).float()[:, None]
            seen = torch.cat([seen, seen * true, seen * (1 - true)], dim=1)
        group = batch.privileged.float()
        share = group.mean().clamp(1e-3, 1 - 1e-3)
        return torch.nn.functional.binary_cross_entropy_with_logits(
            self.adversary(seen)[:, 0],
            group,
            weight=torch.where(batch.privileged, 0.5 / share, 0.5 / (1 - share)),
        )


def _gradient(loss: Any, weights: list[Any]) -> Any:
    """One vector of all weights' gradients; zeros for those that do not matter."""
    import torch

    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    parts = [
        torch.zeros_like(weight) if grad is None else grad
        for grad, weight in zip(found, weights, strict=True)
    ]
    return torch.cat([part.reshape(-1) for part in parts])
