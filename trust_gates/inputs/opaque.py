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

MOST_FEATURES = 1024
_STEP = 1e-3
"""Of the inputs' range: small against any budget, large against the rounding of float32."""

_ROWS = 1 << 14
_LEAST = 1e-12

Answer = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From inputs (N, ...) to logits or log-probabilities (N, K)."""


def target(answer: Answer, *, low: float, high: float) -> Target:
    """A target that asks `answer`."""
    step = _STEP * (high - low)
    return Target(
        module=torch.nn.Identity(),
        predict=lambda inputs: _Asked.apply(inputs, answer, step),  # type: ignore[no-untyped-call]
        low=low,
        high=high,
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
    def forward(ctx: Any, inputs: torch.Tensor, answer: Answer, step: float) -> torch.Tensor:
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
        at_once = max(_ROWS // (2 * features), 1)
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            moved = _moved(rows[part], ctx.step).reshape(-1, *inputs.shape[1:])
            answers = _ask(ctx.answer, moved).numpy()
            up, down = answers.reshape(-1, features, 2, answers.shape[1]).transpose(2, 0, 1, 3)
            slope = (up.astype(np.float64) - down) / (2 * ctx.step)
            gradient[part] = np.einsum("nfk,nk->nf", slope, weight[part])
        return torch.from_numpy(gradient.reshape(inputs.shape)), None, None


def _moved(rows: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """(N, F, 2, F): each row with each value once a step up and once a step down."""
    changes = np.float32(step) * np.eye(rows.shape[1], dtype=np.float32)
    both = np.stack([changes, -changes], axis=1)
    moved: NDArray[np.float32] = rows[:, None, None, :] + both[None]
    return moved


def _ask(answer: Answer, inputs: NDArray[np.float32]) -> torch.Tensor:
    """In float64: differences of answers lose what float32 rounds away."""
    answers = np.asarray(answer(np.ascontiguousarray(inputs, dtype=np.float32)), dtype=np.float64)
    if answers.shape[0] != len(inputs) or not math.prod(answers.shape):
        raise GateError(f"got answers of shape {answers.shape} for {len(inputs)} samples")
    return torch.from_numpy(answers)
