"""A model that only answers, as a target with gradients: by central differences of its answers.

Attacks that follow a gradient then work on any smooth model (Chen et al. 2017, "ZOO"). A model
made of steps, as trees are, has differences of exactly zero. Attacks then follow the gradient of
its answers averaged over changes of their own size, estimated by random changes (Spall 1992,
"SPSA"; Ilyas et al. 2018, "Black-box adversarial attacks with limited queries and information").

ART has gradients for two kinds of scikit-learn models only, and gives those of a probability for
two classes and of its logarithm for more; these here are always of the logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.target import Predict, Target
from trust_gates.verdict import GRAPH

MOST_FEATURES = 1024
_STEP = 1e-3
"""Of how far a value varies: small against any budget, large against the rounding of float32."""

_SPACINGS = 8
"""A step is at least so many times what float32 can tell apart at the value itself."""

_ROWS = 1 << 14
_AT_ONCE = 1024
"""Samples in one question: many trees take as long for one as for hundreds."""

_LEAST = 1e-45
"""The least probability that float32 knows: a surer answer has no logarithm."""

PAIRS = 64
"""Random changes, each also the other way round, that one averaged gradient is estimated by."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From inputs (N, ...) to logits or log-probabilities (N, K), or to numbers (N, 1)."""


def target(
    answer: Answer,
    *,
    low: float,
    high: float,
    spread: NDArray[np.float64] | None = None,
    asked_as: str = GRAPH,
) -> Target:
    """A target that asks `answer`.

    Args:
        spread: how far each value of an input (...) varies; high - low where that is not known.
    """
    step = _STEP * (np.array(high - low) if spread is None else spread)

    def averaged(sizes: NDArray[np.float32], seed: int) -> Predict:
        generator = np.random.default_rng(seed)
        return lambda inputs: _Averaged.apply(  # type: ignore[no-untyped-call]
            inputs, answer, sizes, (low, high), generator
        )

    return Target(
        module=torch.nn.Identity(),
        predict=lambda inputs: _Asked.apply(inputs, answer, step),  # type: ignore[no-untyped-call]
        averaged=averaged,
        low=low,
        high=high,
        batch=_AT_ONCE,
        asked_as=asked_as,
    )


def log_probabilities(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Answers (N, K) as logits: those that are probabilities by their logarithm, others as is.

    Raises:
        GateError: they are of another shape.
    """
    if values.ndim != 2 or values.shape[1] < 2:
        raise GateError(f"got answers of shape {values.shape}, expected (samples, classes)")
    found = np.asarray(values, dtype=np.float64)
    shares = (found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=1e-3)
    result: NDArray[np.float64] = np.log(np.maximum(found, _LEAST)) if shares else found
    return result


def numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """Answers (N,) or (N, 1) of a regression as (N, 1).

    Raises:
        GateError: they are of another shape.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[1] != 1:
        raise GateError(f"got answers of shape {found.shape}, expected a number for each sample")
    return found


class _Asked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, answer: Answer, step: NDArray[np.float64]
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs)
        ctx.answer, ctx.step = answer, step
        return _ask(answer, inputs.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inputs,) = ctx.saved_tensors
        rows = inputs.detach().numpy().reshape(len(inputs), -1)
        features = rows.shape[1]
        if features > MOST_FEATURES:
            raise GateError(
                f"got a model without gradients and inputs of {features} values, expected at most "
                f"{MOST_FEATURES}: differences would take too long; judge its PyTorch tree instead"
            )
        gradient = np.empty_like(rows)
        weight = grads[0].numpy()
        steps = np.broadcast_to(ctx.step, inputs.shape[1:]).reshape(1, features)
        at_once = max(_ROWS // (2 * features), 1)
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            moved = _moved(rows[part], steps)
            answers = _ask(ctx.answer, moved.reshape(-1, *inputs.shape[1:])).numpy()
            up, down = answers.reshape(-1, features, 2, answers.shape[1]).transpose(2, 0, 1, 3)
            # As far as each value went, rounded: not as far as it was sent.
            ends = np.diagonal(moved, axis1=1, axis2=3).astype(np.float64)  # (n, 2, F)
            slope = (up - down) / (ends[:, 0] - ends[:, 1])[:, :, None]
            gradient[part] = np.einsum("nfk,nk->nf", slope, weight[part])
        return torch.from_numpy(gradient.reshape(inputs.shape)), None, None


class _Averaged(torch.autograd.Function):
    """The answers themselves, with the gradient of their average over changes of some size.

    Where no change of that size changes an answer, as far from every step of a tree, changes of
    twice the size are tried, up to the whole range: the nearest step shows the way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        answer: Answer,
        sizes: NDArray[np.float32],
        limits: tuple[float, float],
        generator: np.random.Generator,
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs)
        ctx.answer, ctx.sizes, ctx.limits, ctx.generator = answer, sizes, limits, generator
        return _ask(answer, inputs.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        (inputs,) = ctx.saved_tensors
        rows, weight = inputs.detach().numpy(), grads[0].numpy()
        gradient, sizes = np.zeros(rows.shape, dtype=np.float32), ctx.sizes
        still, (low, high) = np.arange(len(rows)), ctx.limits
        while len(still) and 0 < sizes.max(initial=0) <= high - low:
            found = [
                _average_slope(
                    ctx.answer, rows[some], weight[some], sizes, low, high, ctx.generator
                )
                for some in np.array_split(still, -(-len(still) * 2 * PAIRS // _ROWS))
            ]
            gradient[still] = np.concatenate(found)
            still = still[~gradient[still].reshape(len(still), -1).any(axis=1)]
            sizes = 2 * sizes
        return torch.from_numpy(gradient), None, None, None, None


def _average_slope(
    answer: Answer,
    rows: NDArray[np.float32],
    weight: NDArray[np.float64],
    sizes: NDArray[np.float32],
    low: float,
    high: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """(N, ...): of the answers (N, K) times `weight`, over random changes of ±sizes (...)."""
    signs = generator.integers(0, 2, size=(PAIRS, *rows.shape[1:])) * 2 - 1
    changes = (signs * sizes).astype(np.float32)
    moved = rows[:, None, None] + np.stack([changes, -changes], axis=1)[None]
    answers = _ask(answer, moved.clip(low, high).reshape(-1, *rows.shape[1:])).numpy()
    up, down = answers.reshape(len(rows), PAIRS, 2, -1).transpose(2, 0, 1, 3)
    gained = np.einsum("npk,nk->np", up - down, weight)
    slope = np.einsum("np,p...->n...", gained, changes) / PAIRS
    # A change is a sign times a size: it divides by the size once for each of them.
    found: NDArray[np.float32] = np.divide(
        slope, 2 * sizes.astype(np.float64) ** 2, out=np.zeros(rows.shape), where=sizes > 0
    ).astype(np.float32)
    return found


def _moved(rows: NDArray[np.float32], steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, F, 2, F): each row with each value once a step up and once a step down."""
    least = _SPACINGS * np.spacing(np.abs(rows))
    each = np.maximum(steps, least).astype(np.float32)
    changes = each[:, :, None] * np.eye(rows.shape[1], dtype=np.float32)
    moved: NDArray[np.float32] = rows[:, None, None, :] + np.stack([changes, -changes], axis=2)
    return moved


def _ask(answer: Answer, inputs: NDArray[np.float32]) -> torch.Tensor:
    """In float64: differences of answers lose what float32 rounds away."""
    kind = inputs.dtype if inputs.dtype == np.int64 else np.float32  # tokens stay what they are
    # A copy: who scales its inputs in place scales none that it is asked about again.
    answers = np.asarray(answer(np.array(inputs, dtype=kind, order="C")), dtype=np.float64)
    if answers.shape[0] != len(inputs) or not math.prod(answers.shape):
        raise GateError(f"got answers of shape {answers.shape} for {len(inputs)} samples")
    return torch.from_numpy(answers)
