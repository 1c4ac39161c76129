"""A model that only answers, as a target with gradients: by central differences of its answers.

Attacks that follow a gradient then work on any smooth model (Chen et al. 2017, "ZOO"). A model
made of steps, as trees are, has differences of exactly zero: the robustness gate sees that as
gradient masking and refuses, which is right, for nothing was shown.

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
from trust_gates.target import Target
from trust_gates.verdict import GRAPH

MOST_FEATURES = 1024
_STEP = 1e-3
"""Of how far a value varies: small against any budget, large against the rounding of float32."""

_SPACINGS = 8
"""A step is at least so many times what float32 can tell apart at the value itself."""

_ROWS = 1 << 14
_LEAST = 1e-45
"""The least probability that float32 knows: a surer answer has no logarithm."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From inputs (N, ...) to logits or log-probabilities (N, K)."""


def target(
    answer: Answer,
    *,
    low: float,
    high: float,
    spread: NDArray[np.float64] | None = None,
) -> Target:
    """A target that asks `answer`.

    Args:
        spread: how far each value of an input (...) varies; high - low where that is not known.
    """
    step = _STEP * (np.array(high - low) if spread is None else spread)
    return Target(
        module=torch.nn.Identity(),
        predict=lambda inputs: _Asked.apply(inputs, answer, step),  # type: ignore[no-untyped-call]
        low=low,
        high=high,
        asked_as=GRAPH,
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
    answers = np.asarray(answer(np.ascontiguousarray(inputs, dtype=kind)), dtype=np.float64)
    if answers.shape[0] != len(inputs) or not math.prod(answers.shape):
        raise GateError(f"got answers of shape {answers.shape} for {len(inputs)} samples")
    return torch.from_numpy(answers)
