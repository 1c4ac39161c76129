"""Does the attribution depend on the model at all, and hold still when the input hardly moves?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.explainability import methods
from trust_gates.explainability.parts import Parts
from trust_gates.explainability.subject import Subject
from trust_gates.spread import spread
from trust_gates.target import Target

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]

NOISE = 0.02
"""Standard deviation of the noise, as a share of how far a value varies: one that hardly shows."""

_NOISY_COPIES = 2
_RANDOM_MODELS = 8
_RANDOM_SAMPLES = 8
_SAME = 0.8
"""From this mean rank correlation on two attributions say the same."""


def stability(method: str, subject: Subject, parts: Parts, relevance: Array, seed: int) -> Array:
    """(n,): mean rank correlation of `relevance` (n, parts) with that of slightly noisy inputs.

    After Alvarez-Melis and Jaakkola, On the Robustness of Interpretability Methods (2018); a
    rank correlation, as what is read from an attribution is an order.
    """
    generator = np.random.default_rng(seed)
    low, high = subject.target.low, subject.target.high
    apart = spread(subject.inputs, low, high)
    found = []
    for copy in range(_NOISY_COPIES):
        noise = NOISE * apart * generator.normal(size=subject.inputs.shape)
        if (reach := subject.target.reach) is not None and reach.beside:
            noise = np.where(reach.immutable, 0.0, noise)
        noisy = np.clip(subject.inputs + noise, low, high).astype(np.float32)
        again = methods.attribute(method, subject, parts, inputs=noisy, seed=seed + copy + 1)
        found.append(rank_correlation(relevance, parts.total(again)))
    mean: Array = np.mean(found, axis=0)
    return mean


def check_depends_on_model(
    method: str, subject: Subject, parts: Parts, relevance: Array, seed: int
) -> float:
    """Mean rank correlation of the attributions with those of random models of the same kind.

    The model parameter randomisation test of Adebayo et al., Sanity Checks for Saliency Maps
    (NeurIPS 2018): a method that draws the same picture for a model that learned nothing shows
    the input, not the model. A model without weights that could be drawn anew, because it only
    answers, is asked with the values of its inputs exchanged and turned instead: what a first layer
    or a tree's splits would be that had learned the same of other values.

    Raises:
        GateError: the attributions stay the same.
    """
    some = subject.take(subject.numbers[:_RANDOM_SAMPLES])
    found = []
    for draw in range(_RANDOM_MODELS):
        with _random_model(some, seed + draw) as drawn:
            other = parts.total(methods.attribute(method, drawn, parts, seed=seed + draw + 1))
        found += [_similarity(*pair) for pair in zip(relevance[: len(some)], other, strict=True)]
    similarity = float(np.mean(found))
    if similarity >= _SAME:
        raise GateError(
            f"the attributions of {method} stay the same when the model's weights are random, or "
            f"its inputs' values exchanged where it has none (mean rank correlation "
            f"{similarity:.2f}, expected below {_SAME}): they do not show the model; choose "
            "another method"
        )
    return similarity


def _similarity(left: Array, right: Array) -> float:
    """Over the parts that either attribution knows: what an architecture never looks at is zero
    under any weights, and says nothing about them."""
    known = (left != 0) | (right != 0)
    if not known.any():
        return 0.0
    return float(rank_correlation(left[None, known], right[None, known])[0])


def rank_correlation(left: Array, right: Array) -> Array:
    """(n,): Spearman's correlation of each pair of rows; 0 where a row has no order."""
    from scipy.stats import rankdata

    ranks = [rankdata(rows, axis=1) for rows in (left, right)]
    a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in ranks)
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    correlation: Array = np.divide(
        (a * b).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0
    )
    return correlation


@contextmanager
def _random_model(subject: Subject, seed: int) -> Iterator[Subject]:
    """The same decisions of a model that did not learn to make them."""
    module = subject.target.module
    if next(module.parameters(), None) is None:
        yield replace(subject, target=_exchanged(subject, seed))
        return
    with _random_weights(module, seed):
        yield subject


def _exchanged(subject: Subject, seed: int) -> Target:
    """The target with each value of an input in the place of another, some of them turned around.

    A value keeps how far it lies from the mean in units of how far it varies.
    """
    import torch

    target, shape = subject.target, subject.inputs.shape[1:]
    generator = np.random.default_rng(seed)
    order = torch.from_numpy(generator.permutation(subject.inputs[0].size)).to(target.device)
    signs = generator.choice([-1.0, 1.0], size=len(order))
    middle, apart, turned = (
        torch.from_numpy(np.asarray(one, dtype=np.float32).ravel()).to(target.device)
        for one in (
            subject.inputs.mean(axis=0),
            spread(subject.inputs, target.low, target.high),
            signs,
        )
    )

    def predict(inputs: torch.Tensor) -> Any:
        units = (inputs.flatten(1) - middle) / apart
        return target.predict((middle + apart * turned * units[:, order]).reshape(-1, *shape))

    return replace(target, predict=predict)


@contextmanager
def _random_weights(module: torch.nn.Module, seed: int) -> Iterator[None]:
    """Normal draws as large as each weight tensor was, in the place of what was learned."""
    import torch

    learned = {name: value.detach().clone() for name, value in module.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for value in module.parameters():
                size = value.double().square().mean().sqrt().item()
                value.copy_(torch.randn(value.shape, generator=generator) * size)
        yield
    finally:
        with torch.no_grad():
            for name, value in module.named_parameters():
                value.copy_(learned[name])
