"""The changes of an input that a defender trains against, and the worst of them by gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball:
    """Changes of at most `epsilon` in a norm that keep inputs within [low, high]."""

    norm: str
    """linf or l2."""

    epsilon: float
    low: float
    high: float
    fixed: tuple[int, ...] = ()
    """Features (of rows) that nobody can change."""

    @classmethod
    def of(cls, norm: str, epsilon: float, inputs: Mapping[str, Any]) -> Ball:
        """For inputs as the dataset describes them."""
        features = list(inputs.get("features", ())) if len(inputs["shape"]) == 1 else []
        kept = {*inputs.get("immutable", ()), *inputs.get("categorical", ())}
        return cls(
            norm=norm,
            epsilon=epsilon,
            low=float(inputs["low"]),
            high=float(inputs["high"]),
            fixed=tuple(index for index, name in enumerate(features) if name in kept),
        )

    def random(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """A change for each input: uniform under linf, of random direction and length under l2."""
        if self.norm == "linf":
            drawn = torch.rand(inputs.shape, generator=generator).to(inputs) * 2 - 1
            return self.project(self.epsilon * drawn, inputs)
        drawn = torch.randn(inputs.shape, generator=generator).to(inputs)
        length = torch.rand(len(inputs), generator=generator).to(inputs)
        return self.project(self.epsilon * unit(drawn) * _as_rows(length, inputs), inputs)

    def project(self, change: Tensor, inputs: Tensor) -> Tensor:
        """The allowed change nearest to `change` in the norm, then kept within the range."""
        if self.norm == "linf":
            change = change.clamp(-self.epsilon, self.epsilon)
        else:
            length = change.flatten(1).norm(dim=1).clamp(min=1e-12)
            change = change * _as_rows((self.epsilon / length).clamp(max=1), change)
        if self.fixed:
            change = change.index_fill(1, torch.tensor(self.fixed, device=change.device), 0.0)
        return (inputs + change).clamp(self.low, self.high) - inputs

    def steepest(self, gradient: Tensor) -> Tensor:
        """The change of norm 1 along which a function of this gradient grows most."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def climb(
        self,
        loss: Callable[[Tensor], Tensor],
        inputs: Tensor,
        *,
        start: Tensor,
        steps: int,
        reach: float = 2.5,
    ) -> Tensor:
        """Inputs near `inputs` where `loss` is high: projected gradient ascent.

        Args:
            loss: inputs (N, ...) to a scalar, a sum or mean over samples.
            start: the first change, (N, ...).
            reach: the length of all steps together, in radii of the ball (Madry et al. 2018).
        """
        step = reach * self.epsilon / steps
        change = start.detach()
        for _ in range(steps):
            change.requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(loss(inputs + change), change)
            change = self.project(change.detach() + step * self.steepest(gradient), inputs)
        return (inputs + change).detach()


def unit(values: Tensor) -> Tensor:
    """Each sample scaled to an l2 length of 1; zeros stay zeros."""
    return values / _as_rows(values.flatten(1).norm(dim=1).clamp(min=1e-12), values)


def _as_rows(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.reshape(-1, *[1] * (like.ndim - 1))
