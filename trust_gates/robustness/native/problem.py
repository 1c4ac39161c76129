"""Samples to break and what the attacker may do to them; and which of them are broken yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from trust_gates.robustness.budget import Budget, Norm
from trust_gates.robustness.native import balls
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples

TARGETS = 9
"""Wrong classes that an attack which looks at each in turn looks at."""

_VALUES_AT_ONCE = 2**20
"""Input values in a batch, so that what a step touches stays near the processor."""

_ROWS_AT_ONCE = 256
"""Up to so many rows a step costs hardly more than one row: calls are what costs."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits (N, K), labels (N,) and the classes aimed at (N,) to (N,); the attack pushes it up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Some samples, all tensors on the model's device."""

    ask: Callable[[Tensor], Tensor]
    """Inputs (N, ...) to logits (N, K)."""

    clean: Tensor
    labels: Tensor
    targets: Tensor
    """(N,): the wrong class that a targeted attack aims at."""

    low: Tensor
    high: Tensor
    """(N, ...): how far each value may move down (at most 0) and up."""

    norm: Norm
    epsilon: float
    generator: torch.Generator

    _PER_SAMPLE: ClassVar = ("clean", "labels", "targets", "low", "high")

    @classmethod
    def batches(cls, victim: Victim, samples: Samples, budget: Budget) -> Iterator[Problem]:
        """The samples in batches that a device handles well, in their order."""
        target = victim.pursued(budget)
        target.module.eval()
        lower, upper = victim.room(samples.inputs)
        generator = torch.Generator().manual_seed(budget.seed)
        count = max(1, _VALUES_AT_ONCE // max(samples.inputs[:1].size, 1))
        for start in range(0, len(samples), count):
            rows = slice(start, start + count)
            clean = target.tensor(samples.inputs[rows])
            labels = torch.as_tensor(np.asarray(samples.labels)[rows], device=target.device)
            yield cls(
                ask=target.differentiable,
                clean=clean,
                labels=labels,
                targets=labels,
                low=target.tensor(lower[rows]) - clean,
                high=target.tensor(upper[rows]) - clean,
                norm=budget.norm,
                epsilon=budget.epsilon,
                generator=generator,
            )

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, rows: Tensor) -> Problem:
        """The samples at `rows`, indices or a mask."""
        kept = {name: getattr(self, name)[rows] for name in self._PER_SAMPLE}
        return replace(self, **kept)

    def allowed(self, change: Tensor, epsilon: float | None = None) -> Tensor:
        """The clean inputs with `change`, pulled back into ball and box."""
        radius = self.epsilon if epsilon is None else epsilon
        return self.clean + balls.project(change, self.norm, radius, self.low, self.high)

    def ascent(self, inputs: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, K), loss (N,) and its gradient at `inputs`, 0 where nothing may move."""
        inputs = inputs.detach().requires_grad_()
        logits = self.ask(inputs)
        values = loss(logits, self.labels, self.targets)
        (gradient,) = torch.autograd.grad(values.sum(), inputs)
        gradient = torch.where(self.high > self.low, gradient, 0)
        return logits.detach(), values.detach().to(self.clean.dtype), gradient

    def leads(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, K), the leads (N, T) of `targets` (N, T) and their gradients (N, T, ...).

        One forward pass serves all of them.
        """
        inputs = inputs.detach().requires_grad_()
        logits = self.ask(inputs)
        leads = logits.gather(1, targets) - logits.gather(1, self.labels[:, None])
        slopes = [
            torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0]
            for column in leads.unbind(dim=1)
        ]
        stacked = torch.where((self.high > self.low)[:, None], torch.stack(slopes, dim=1), 0)
        return logits.detach(), leads.detach().to(self.clean.dtype), stacked

    @torch.no_grad()
    def answers(self, inputs: Tensor) -> Tensor:
        """Logits (N, K) without a gradient."""
        return self.ask(inputs)

    def copies(self, most: int) -> int:
        """How many copies of each sample, at least one, make a batch that a device handles well."""
        rows = min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // max(self.clean[:1].numel(), 1))
        return max(1, min(most, rows // max(len(self), 1)))

    def runners_up(self, count: int) -> Tensor:
        """(N, at most `count`): the wrong classes, the most likely first."""
        logits = self.answers(self.clean).nan_to_num()
        ranked = logits.scatter(1, self.labels[:, None], -torch.inf).argsort(descending=True)
        return ranked[:, : min(count, logits.shape[1] - 1)]


class Hunt:
    """Which samples are still right, and for each the input that broke it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.found = problem.clean.clone()
        self.alive = torch.arange(len(problem), device=problem.clean.device)
        """Rows of `problem` that nothing has broken yet."""

    @property
    def open(self) -> Problem:
        """The samples that are still right."""
        return self.problem.take(self.alive)

    def sieve(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Note what `inputs` (of the open samples) broke; the mask of those still right.

        An answer that is not finite is a wrong one.
        """
        labels = self.problem.labels[self.alive]
        right = (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)
        self.found[self.alive[~right]] = inputs[~right]
        self.alive = self.alive[right]
        return right

    def keep(self, inputs: Tensor) -> None:
        """Leave `inputs` as the answer for the open samples: they hurt, though not enough."""
        self.found[self.alive] = inputs


def aim_at_each(hunt: Hunt, most: int, run: Callable[[Hunt], None]) -> None:
    """Run a targeted attack towards each of up to `most` wrong classes, the likeliest first.

    Few samples meet several classes at a time, as copies in one batch.
    """
    ranked = hunt.problem.runners_up(most)
    while ranked.shape[1] and len(hunt.alive):
        copies = hunt.open.copies(ranked.shape[1])
        targets, ranked = ranked[hunt.alive, :copies], ranked[:, copies:]
        each = hunt.problem.take(hunt.alive.repeat_interleave(copies))
        inner = Hunt(replace(each, targets=targets.flatten()))
        run(inner)
        broken = torch.ones(targets.numel(), dtype=torch.bool, device=targets.device)
        broken[inner.alive] = False
        # Of a sample's copies the first broken one, or just the first.
        first = broken.reshape(targets.shape).long().argmax(dim=1)
        chosen = first + torch.arange(len(targets), device=first.device) * copies
        hunt.found[hunt.alive] = inner.found[chosen]
        hunt.alive = hunt.alive[~broken[chosen]]


def attack(victim: Victim, samples: Samples, budget: Budget, run: Callable[[Hunt], None]) -> Inputs:
    """Run a native attack batch by batch: `run` hunts until it gives up or all are broken."""
    parts = [np.zeros((0, *samples.inputs.shape[1:]), dtype=np.float32)]
    for problem in Problem.batches(victim, samples, budget):
        hunt = Hunt(problem)
        run(hunt)
        parts.append(hunt.found.detach().cpu().contiguous().numpy())
    return np.concatenate(parts)
