"""Models known to be weak: an attack that cannot break them does nothing, and says nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.robustness import attacks
from trust_gates.robustness.attacks.interface import Budget
from trust_gates.robustness.victim import Victim, totals
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target

_COUNT = 12
_BROKEN = 0.75
_SIZE = 8.0


def check_attack(name: str, like: Samples, target: Target, budget: Budget) -> float:
    """The share that the attack breaks of a weak model of the same kind as `target`.

    Raises:
        GateError: it breaks too little, so its failure against `target` would mean nothing.
    """
    samples = _samples(like, target, budget)
    victim = Victim.of(_target(like, target, budget), samples)
    before = victim.held(samples.inputs, samples)
    if before.sum() != totals(samples).sum():
        raise GateError("the known-weak model is wrong before any attack; this is a defect")
    after = victim.held(attacks.run(name, victim, samples, budget), samples)
    broken = 1 - float(after.sum() / before.sum())
    if broken < _BROKEN:
        raise GateError(
            f"the attack {name} broke {broken:.0%} of a model known to be weak, "
            f"expected at least {_BROKEN:.0%}; it does not work on inputs of shape "
            f"{like.inputs.shape[1:]} with {budget.norm} <= {budget.epsilon:g}"
        )
    return broken


def _pattern(like: Samples, budget: Budget) -> NDArray[np.float32]:
    """The signs, shaped as one input, along which the weak model looks.

    ART's Square under l2 adds tiles whose halves cancel: a model that sees brightness alone
    would be immune, so there it looks at stripes as high as half a tile.
    """
    pattern = np.ones(like.inputs.shape[1:], dtype=np.float32)
    if budget.norm == "l2" and pattern.ndim == 3:
        height = like.inputs.shape[2]
        tile = max(height // 5, 2)
        pattern[:, np.arange(height) % tile >= tile // 2] = -1.0
    return pattern


def _margin(like: Samples, budget: Budget) -> float:
    """How far the samples lie from the weak model's border, in each value: a small part of what
    the budget could move it."""
    if budget.norm == "linf":
        return budget.epsilon / 10
    return budget.epsilon / float(np.sqrt(like.inputs[0].size)) / 40


def _samples(like: Samples, target: Target, budget: Budget) -> Samples:
    margin, middle = _margin(like, budget), (target.low + target.high) / 2
    pattern = _pattern(like, budget)
    shape = (_COUNT, *like.inputs.shape[1:])
    if like.detection:
        truth = Boxes(boxes=np.array([[0, 0, _SIZE, _SIZE]]), labels=np.zeros(1, dtype=np.int64))
        return Samples(
            inputs=np.broadcast_to(middle + margin * pattern, shape).astype(np.float32),
            classes=like.classes,
            objects=[truth] * _COUNT,
        )
    labels = np.arange(_COUNT) % 2
    signs = np.where(labels == 1, margin, -margin).reshape(-1, *[1] * (len(shape) - 1))
    return Samples(
        inputs=np.broadcast_to(middle + signs * pattern, shape).astype(np.float32),
        classes=like.classes,
        labels=labels,
    )


def _target(like: Samples, target: Target, budget: Budget) -> Target:
    """A model that only sees a weighted sum: above its border is class 1, or an object."""
    import torch

    margin, middle = _margin(like, budget), (target.low + target.high) / 2
    pattern = torch.from_numpy(_pattern(like, budget)).to(target.device)

    def score_of(x: Any) -> Any:
        return ((x - middle) * pattern).flatten(1).mean(dim=1) / margin

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
    )
