"""Models known to be weak: an attack that cannot break them does nothing, and says nothing.

A policy that one of them would pass says nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError, PolicyError
from trust_gates.metric import Metric
from trust_gates.policy import Setting
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.metrics import METRICS
from trust_gates.robustness.victim import Inputs, Victim, totals
from trust_gates.samples import Boxes, Samples
from trust_gates.self_test import proved, refuses
from trust_gates.statistics import Measure, Requirement, decide, exact, proportion
from trust_gates.target import Target

_COUNT = 12
_SIZE = 8.0
_CLEAR = 8
"""So many times what float32 tells apart: a margin that rounding leaves as it is."""


def check_policy(
    requirements: Sequence[Requirement],
    count: int,
    setting: Setting,
    constant: Mapping[str, Measure] | None = None,
) -> str:
    """A note that a model which loses all of `count` samples is refused.

    Every figure of it is the worst there is.

    Args:
        constant: of a regression, what the best constant number reaches: no attack moves it.

    Raises:
        PolicyError: it would pass, or the constant would.
    """
    if constant is not None and {one.metric for one in requirements} <= set(constant):
        level = setting.confidence
        if not refuses(decide("", constant, requirements, confidence=level, minimum=0)):
            got = ", ".join(f"{name} {constant[name].value:.3g}" for name in constant)
            raise PolicyError(
                f"gates.robustness asks for nothing: one number for all samples would pass ({got}),"
                " which no attack moves; expected a smaller tolerance, or thresholds that it misses"
            )
    known = {metric.name: metric for metric in METRICS}
    lost = {one.metric: _lost(known[one.metric], count) for one in requirements}
    checks = decide("", lost, requirements, confidence=setting.confidence, minimum=0)
    return proved("robustness", {"a model that loses everything under attack": refuses(checks)})


def _lost(metric: Metric, count: int) -> Measure:
    worst = metric.high if metric.ideal == 0 else 0.0
    if metric.high != 1:  # a distance or a steepness, not a share
        return exact(worst, count)
    return proportion(int(worst) * count, count)


def check_attack(name: str, like: Samples, target: Target, budget: Budget) -> float:
    """The share that the attack breaks of a weak model of the same kind as `target`.

    Raises:
        GateError: it breaks too little, so its failure against `target` would mean nothing.
        PolicyError: the policy leaves the attack too little effort for that, or no value that
            can be moved within its budget and limits.
    """
    plan = _Plan.of(like, target, budget)
    samples = _samples(like, plan)
    victim = Victim.of(_target(like, target, plan), samples)
    before = victim.held(samples.inputs, samples)
    if before.sum() != totals(samples).sum():
        raise GateError("the known-weak model is wrong before any attack; this is a defect")
    after = victim.held(attacks.run(name, victim, samples, budget), samples)
    broken = 1 - float(after.sum() / before.sum())
    attack = attacks.ATTACKS[name]
    expected, task = attack.breaks, Victim.of(target, like).task
    spent, own = attack.spends(budget, task), attack.own_effort(task)
    if broken < expected and spent < own:
        raise PolicyError(
            f"gates.robustness: got {attack.words(spent)} for the attack {name}, with which it "
            f"breaks {broken:.0%} of a model known to be weak; expected at least {expected:.0%}: "
            f"its own standard is {attack.words(own)}"
        )
    if broken < expected and target.averaged is not None:
        raise PolicyError(
            f"gates.robustness: got the attack {name} for a model made of steps: it breaks "
            f"{broken:.0%} of one that is known to be weak; expected at least {expected:.0%}, as "
            "pgd, apgd-ce, square and hopskipjump do"
        )
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

    margin: Inputs
    """How far the samples lie from its border, in each value that counts."""

    @classmethod
    def of(cls, like: Samples, target: Target, budget: Budget) -> _Plan:
        """Margins that are a small part of what the budget, and the room, could move a value.

        A value counts where float32 can tell its margin from nothing, and where there are such
        only those in which its rounding hardly shows.
        """
        victim = Victim.of(target, like)
        low, high = victim.limits
        centre = ((low + high) / 2).astype(np.float32)
        lower, upper = (side[0] for side in victim.room(centre[None]))
        room = (upper - lower) / 2
        rounding = np.spacing(np.maximum(np.abs(lower), np.abs(upper)) / 2)
        margin = _margins(room, int(np.count_nonzero(room)), budget)
        for clear in (_CLEAR, 1):
            counts = (room > 0) & (margin >= clear * rounding)
            if counts.any():
                break
        else:
            raise PolicyError(_immovable(victim, budget, float(rounding.min())))
        # The fewer count, the more of the budget is left for each.
        margin = _margins(room, int(np.count_nonzero(counts)), budget)
        return cls(
            middle=(lower + upper) / 2,
            pattern=_stripes(like.inputs.shape[1:], budget) * counts,
            margin=np.where(counts, margin, 1).astype(np.float32),
        )


def _margins(room: Inputs, count: int, budget: Budget) -> Inputs:
    moved = {
        "linf": budget.epsilon / 10,
        "l2": budget.epsilon / max(count, 1) ** 0.5 / 40,
        "l1": budget.epsilon / max(count, 1) / 40,
        "l0": budget.epsilon * room / max(count, 1) / 4,
    }[budget.norm]
    found: Inputs = np.minimum(moved, room / 10)
    return found


def _immovable(victim: Victim, budget: Budget, rounding: float) -> str:
    low, high = (float(np.median(side)) for side in victim.limits)
    return (
        f"gates.robustness leaves an attacker nothing: got epsilon {budget.epsilon:g} under the "
        f"norm {budget.norm} and values from {low:g} to {high:g}, of which float32 tells "
        f"{rounding:.1g} apart; expected bounds with room between them and an epsilon that means "
        f"something, such as {0.01 * (high - low) or 0.01:g} to {0.1 * (high - low) or 0.1:g} "
        "under linf"
    )


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


def _of_steps(like: Samples, target: Target, plan: _Plan) -> Target:
    from trust_gates.inputs import opaque

    weight = plan.pattern / np.count_nonzero(plan.pattern)

    def logits(inputs: Inputs) -> NDArray[np.float64]:
        steps = np.rint((inputs - plan.middle).astype(np.float64) / plan.margin)
        score = (steps * weight).reshape(len(inputs), -1).sum(axis=1)
        rest = np.full((len(inputs), max(len(like.classes) - 2, 0)), -1e3)
        return np.concatenate([-score[:, None], score[:, None], rest], axis=1)

    weak = opaque.target(logits, low=target.low, high=target.high)
    return replace(weak, reach=target.reach)


def _target(like: Samples, target: Target, plan: _Plan) -> Target:
    """A model that only sees a weighted sum: above its border is class 1, or an object.

    Beside a model of steps it sums a step of each value, as a tree for each of them would.
    """
    import torch

    if target.averaged is not None:
        return _of_steps(like, target, plan)

    middle = torch.from_numpy(plan.middle).to(target.device)
    weight = plan.pattern / np.count_nonzero(plan.pattern) / plan.margin
    slopes = torch.from_numpy(weight.astype(np.float32)).to(target.device)

    def score_of(x: Any) -> Any:
        return ((x - middle) * slopes).flatten(1).sum(dim=1)

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
