"""APGD: projected gradient steps whose size adapts to whether they still help.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", section 3; under l1 with sparse steps and a shrinking ball, Croce & Hein
2021, "Mind the box: l1-APGD for sparse adversarial attacks on image classifiers".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import dlr, scaled_cross_entropy, targeted_dlr
from trust_gates.robustness.native.problem import TARGETS, Hunt, Loss, Problem, aim_at_each

_MOMENTUM = 0.75
_RISING = 0.75
"""At least this share of the steps between two checkpoints must raise the loss."""

_L1_STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""Under l1: larger balls first; the factor of epsilon and the share of the steps."""

_SPARSER = 1.5
_SMALLEST = 10.0
"""Under l1: what divides the number of values touched and the step, and the step at most."""


@dataclass(slots=True, kw_only=True, eq=False)
class _State:
    """Where each open sample stands; every field has one row a sample."""

    inputs: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    step: Tensor
    rises: Tensor
    """Steps since the last checkpoint that raised the loss."""

    halved: Tensor
    checked_loss: Tensor
    """The best loss at the last checkpoint."""

    kept: Tensor
    """Under l1: the share of values that a step touches."""

    touched: Tensor
    """Under l1: how many values the best change touched at the last checkpoint."""

    def take(self, rows: Tensor) -> _State:
        return _State(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def return_to_best(self, rows: Tensor) -> None:
        self.inputs[rows] = self.best[rows]
        self.gradient[rows] = self.best_gradient[rows]


def maximize(hunt: Hunt, loss: Loss, *, steps: int, restarts: int) -> None:
    """Push `loss` up for each open sample, from `restarts` random points."""
    stages = _L1_STAGES if hunt.problem.norm == "l1" else ((1.0, 1.0),)
    for _ in range(restarts):
        part = hunt.open
        inputs = _random_start(part, stages[0][0] * part.epsilon)
        for factor, share in stages:
            if len(part):
                radius, count = factor * part.epsilon, max(round(share * steps), 1)
                inputs = part.allowed(inputs - part.clean, radius)
                inputs = _climb(hunt, part, inputs, loss, radius=radius, steps=count)


def maximize_cross_entropy(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """APGD-CE, blind to the scale of the logits too."""
    maximize(hunt, scaled_cross_entropy, steps=steps, restarts=restarts)


def maximize_dlr(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """APGD-DLR, blind to the scale of the logits."""
    maximize(hunt, dlr, steps=steps, restarts=restarts)


def maximize_targeted(hunt: Hunt, *, steps: int, restarts: int) -> None:
    """Aim at each of the most likely wrong classes in turn."""
    run = partial(maximize, loss=targeted_dlr, steps=steps, restarts=restarts)
    aim_at_each(hunt, TARGETS, run)


def _random_start(part: Problem, radius: float) -> Tensor:
    return part.allowed(radius * balls.random(part.clean, part.norm, part.generator), radius)


def _climb(
    hunt: Hunt, part: Problem, inputs: Tensor, loss: Loss, *, radius: float, steps: int
) -> Tensor:
    """Adaptive steps within `radius`; the best inputs. In a larger ball, nothing broken counts."""
    counts = radius <= part.epsilon
    state = _begin(part, inputs, loss, radius)
    sparse = part.norm == "l1"
    first, least, less = (0.04, 0.04, 0.0) if sparse else (0.22, 0.06, 0.03)
    interval, since = max(int(first * steps), 1), 0
    for index in range(steps):
        move = _sparse_move if sparse else _move
        inputs = move(part, state, radius, first=index == 0)
        logits, value, gradient = part.ascent(inputs, loss)
        state.previous, state.inputs, state.gradient = state.inputs, inputs, gradient
        state.rises += value > state.loss
        state.loss = value
        better = value > state.best_loss
        state.best[better], state.best_gradient[better] = inputs[better], gradient[better]
        state.best_loss[better] = value[better]
        if counts:
            right = hunt.sieve(inputs, logits)
            if not right.all():
                part, state = part.take(right), state.take(right)
            if not len(part):
                return state.best
        since += 1
        if since == interval:
            if sparse:
                _sparse_checkpoint(part, state, radius)
            else:
                _checkpoint(state, interval)
            interval, since = max(interval - max(int(less * steps), 1), int(least * steps), 1), 0
    if counts:
        hunt.keep(state.best)
    return state.best


def _begin(part: Problem, inputs: Tensor, loss: Loss, radius: float) -> _State:
    _, value, gradient = part.ascent(inputs, loss)
    zeros, values = torch.zeros_like(value), part.clean[0].numel()
    touched = _touched(inputs - part.clean)
    random = part.norm != "l1" or radius > 2 * part.epsilon
    return _State(
        inputs=inputs,
        previous=inputs.clone(),
        gradient=gradient,
        loss=value,
        best=inputs.clone(),
        best_gradient=gradient.clone(),
        best_loss=value.clone(),
        step=zeros + radius * (1 if part.norm == "l1" else 2),
        rises=zeros.clone(),
        halved=zeros > 0,
        checked_loss=value.clone(),
        kept=zeros + 0.2 if random else touched / values / _SPARSER,
        touched=zeros + values if random else touched,
    )


def _move(part: Problem, state: _State, radius: float, *, first: bool) -> Tensor:
    """A step with momentum: part of the new direction, part of the last one."""
    change = state.inputs - part.clean
    step = balls.column(state.step, change)
    plain = part.allowed(
        change + step * balls.steepest(state.gradient, part.norm, 1.0, part.low, part.high), radius
    )
    new = 1.0 if first else _MOMENTUM
    drift = state.inputs - state.previous
    return part.allowed(change + (plain - state.inputs) * new + drift * (1 - new), radius)


def _checkpoint(state: _State, interval: int) -> None:
    """Halve the step where it has stopped helping, and go on from the best point there."""
    idle = ~state.halved & (state.checked_loss >= state.best_loss)
    slow = (state.rises <= _RISING * interval) | idle
    state.step[slow] /= 2
    state.return_to_best(slow)
    state.halved, state.checked_loss = slow, state.best_loss.clone()
    state.rises = torch.zeros_like(state.rises)


def _sparse_move(part: Problem, state: _State, radius: float, *, first: bool) -> Tensor:
    """An equal step of the values with the largest gradients."""
    flat = state.gradient.flatten(1)
    values = flat.shape[1]
    # Rounded down: of few features a rounded-up share would never reach a single one.
    count = (state.kept * values).long().clamp(1, values)[:, None]
    floor = flat.abs().sort(dim=1).values.gather(1, values - count)
    signs = torch.where(flat.abs() >= floor, flat.sign(), 0)
    share = state.step / signs.abs().sum(dim=1).clamp_min(1)
    move = (signs * share[:, None]).reshape(state.inputs.shape)
    return part.allowed(state.inputs - part.clean + move, radius)


def _sparse_checkpoint(part: Problem, state: _State, radius: float) -> None:
    """Touch fewer values; where the best change has settled on its values, step shorter."""
    touched = _touched(state.best - part.clean)
    settling = touched < 0.95 * state.touched
    state.kept = touched / part.clean[0].numel() / _SPARSER
    shorter = (state.step / _SPARSER).clamp_min(radius / _SMALLEST)
    state.step = torch.where(settling, torch.full_like(shorter, radius), shorter)
    state.touched = touched
    state.return_to_best(settling)


def _touched(change: Tensor) -> Tensor:
    """(N,): how many values are not where they were."""
    return (change.flatten(1) != 0).sum(dim=1).to(change.dtype)
