"""Models known to be weak: an attack that cannot break them does nothing, and says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from trust_gates.errors import GateError
from trust_gates.robustness import attacks
from trust_gates.robustness.attacks.attack import Budget
from trust_gates.robustness.victim import Inputs, Victim, totals
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target

_COUNT = 12
_SIZE = 8.0


def check_attack(name: str, like: Samples, target: Target, budget: Budget) -> float:
    """The share that the attack breaks of a weak model of the same kind as `target`.

    Raises:
        GateError: it breaks too little, so its failure against `target` would mean nothing.
    """
    plan = _Plan.of(like, target, budget)
    samples = _samples(like, plan)
    victim = Victim.of(_target(like, target, plan), samples)
    before = victim.held(samples.inputs, samples)
    if before.sum() != totals(samples).sum():
        raise GateError("the known-weak model is wrong before any attack; this is a defect")
    after = victim.held(attacks.run(name, victim, samples, budget), samples)
    broken = 1 - float(after.sum() / before.sum())
    expected = attacks.ATTACKS[name].breaks
    if broken < expected:
        raise GateError(
            f"the attack {name} broke {broken:.0%} of a model known to be weak, "
            f"expected at least {expected:.0%}; it does not work on inputs of shape "
            f"{like.inputs.shape[1:]} with {budget.norm} <= {budget.epsilon:g}"
        )
    return broken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """How the weak model looks at its inputs; arrays are shaped as one input."""

    middle: Inputs
    pattern: Inputs
    """The signs along which it looks; 0 where an attacker has no say."""

    margin: float
    """How far the samples lie from its border, in each value that counts."""

    @classmethod
    def of(cls, like: Samples, target: Target, budget: Budget) -> _Plan:
        """A margin that is a small part of what the budget, and the room, could move a value."""
        shape = like.inputs.shape[1:]
        centre = np.full((1, *shape), (target.low + target.high) / 2, dtype=np.float32)
        lower, upper = (side[0] for side in Victim.of(target, like).room(centre))
        pattern = _stripes(shape, budget) * (upper > lower)
        count = max(float(np.count_nonzero(pattern)), 1.0)
        room = float((upper - lower)[pattern != 0].min(initial=np.inf)) / 2
        moved = {
            "linf": budget.epsilon / 10,
            "l2": budget.epsilon / count**0.5 / 40,
            "l1": budget.epsilon / count / 40,
            "l0": budget.epsilon * room / count / 4,
        }[budget.norm]
        return cls(middle=(lower + upper) / 2, pattern=pattern, margin=min(moved, room / 10))


def _stripes(shape: tuple[int, ...], budget: Budget) -> Inputs:
    """Under l2 and l1, Square adds bumps whose halves cancel: a model that sees brightness alone
    would be immune, so there it looks at stripes as high as half a bump."""
    pattern = np.ones(shape, dtype=np.float32)
    if budget.norm != "linf" and pattern.ndim == 3:
        tile = max(shape[1] // 5, 2)
        pattern[:, np.arange(shape[1]) % tile >= tile // 2] = -1.0
    return pattern


def _samples(like: Samples, plan: _Plan) -> Samples:
    shape = (_COUNT, *like.inputs.shape[1:])
    if like.detection:
        truth = Boxes(boxes=np.array([[0, 0, _SIZE, _SIZE]]), labels=np.zeros(1, dtype=np.int64))
        inputs = plan.middle + plan.margin * plan.pattern
        return Samples(
            inputs=np.broadcast_to(inputs, shape).astype(np.float32),
            classes=like.classes,
            objects=[truth] * _COUNT,
        )
    labels = np.arange(_COUNT) % 2
    signs = np.where(labels == 1, 1, -1).reshape(-1, *[1] * (len(shape) - 1))
    inputs = plan.middle + plan.margin * signs * plan.pattern
    return Samples(inputs=inputs.astype(np.float32), classes=like.classes, labels=labels)


def _target(like: Samples, target: Target, plan: _Plan) -> Target:
    """A model that only sees a weighted sum: above its border is class 1, or an object."""
    import torch

    middle = torch.from_numpy(plan.middle).to(target.device)
    pattern = torch.from_numpy(plan.pattern).to(target.device)
    count = pattern.abs().sum()

    def score_of(x: Any) -> Any:
        return ((x - middle) * pattern).flatten(1).sum(dim=1) / count / plan.margin

    def logits(x: Any) -> Any:
        score = score_of(x)
        # Further classes never win.
        rest = torch.full((len(x), max(len(like.classes) - 2, 0)), -1e3, device=x.device)
        return torch.cat((-score[:, None], score[:, None], rest), dim=1)

    def detections(x: Any) -> list[Any]:
        box = torch.tensor([[0.0, 0.0, _SIZE, _SIZE]])
        return [
            SimpleNamespace(
                boxes=box, labels=torch.zeros(1, dtype=torch.int64), scores=score.reshape(1)
            )
            for score in torch.sigmoid(2 * score_of(x))
        ]

    def loss(x: Any, boxes: Any, labels: Any) -> Any:
        return torch.nn.functional.softplus(-2 * score_of(x)).mean()

    return Target(
        module=torch.nn.Identity(),
        predict=detections if like.detection else logits,
        loss=loss if like.detection else None,
        low=target.low,
        high=target.high,
        device=target.device,
        reach=target.reach,
    )
