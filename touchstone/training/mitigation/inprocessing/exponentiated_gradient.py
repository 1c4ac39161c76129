"""Exponentiated gradient: a game between the model and multipliers that price its unfairness.

Agarwal, Beygelzimer, Dudík, Langford and Wallach, "A reductions approach to fair
classification", ICML 2018: multipliers, bounded by B, follow an exponentiated gradient (their
algorithm 1), the model minimises the Lagrangian. Theirs trains a fresh model in each round and
answers with a random one of them; one network, as served here, takes gradient steps instead and
answers with the last, as Cotter et al., "Two-player games for efficient non-convex constrained
optimization", ALT 2019. AIF360's own needs fairlearn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import gaps, log_odds
from touchstone.training.spec import Batch, ModelSpec
from touchstone.training.wrapped import Wrapped

if TYPE_CHECKING:
    import torch


_WOUND_UP = 5.0
"""Log multipliers stay within this: one that grew for an epoch would take one to come back."""


def wrap(spec: ModelSpec, mitigation: Mitigation, favorable: int) -> ModelSpec:
    """`spec` with the Lagrangian as its loss."""
    return ExponentiatedGradient(spec, mitigation, favorable)


class ExponentiatedGradient(Wrapped):
    """A spec whose loss prices each violated constraint at its multiplier."""

    def __init__(self, spec: ModelSpec, mitigation: Mitigation, favorable: int) -> None:
        super().__init__(spec)
        self.favorable = favorable
        self.constraint = str(mitigation.option("constraint"))
        self.epsilon = float(mitigation.option("epsilon"))
        self.bound = float(mitigation.option("bound"))
        self.rate = float(mitigation.option("rate"))
        self.theta: Any = None

    def loss(self, module: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Own loss + sum of multiplier x (gap - epsilon), for each gap in both directions."""
        import torch

        own = self.inner.loss(module, batch)
        odds = log_odds(self.inner, module, batch, self.favorable)
        found = gaps(odds, batch, self.favorable, self.constraint)
        if len(found) < (2 if self.constraint == "equalized_odds" else 1):
            return own  # a group is absent from this batch
        gap = torch.stack(found)
        violation = torch.cat([gap, -gap]) - self.epsilon
        if self.theta is None:
            self.theta = torch.zeros_like(violation)
        with torch.no_grad():
            self.theta = (self.theta + self.rate * violation).clamp(-_WOUND_UP, _WOUND_UP)
            weight = (self.theta - self.theta.max().clamp_min(0)).exp()
            rest = (-self.theta.max().clamp_min(0)).exp()
            price = self.bound * weight / (rest + weight.sum())
        total: torch.Tensor = own + (price * violation).sum()
        return total
