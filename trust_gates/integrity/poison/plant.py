"""A backdoor that we know of: planted into a copy of the data, and learned by the model.

What a detector finds of it is what the detector's silence is worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Ints, Samples
from trust_gates.target import Target

SHARE = 0.25
"""Planted samples, as a share of the class that they are given the label of."""

TOOK = 0.9
"""The backdoor works from this share of triggered samples on: less is no backdoor to look for."""

_GOAL = 0.99
"""Training ends here: a backdoor that was trained in from the start works about as well."""

_RATE = 3e-3
_BATCH = 64
_EPOCHS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Samples with a backdoor of ours among them."""

    samples: Samples
    mask: Bools
    """(N,): the samples that carry the trigger and the wrong label."""

    into: int
    """The class whose label they carry."""


def trigger(inputs: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """A copy of the inputs with a mark on each, as BadNets has it.

    Images get a square of checks in the lower right corner, an eighth of the side and at least
    2 pixels; rows have their three most varied features set to the highest value. Gu et al.,
    BadNets (2017), section 3.
    """
    marked = inputs.copy()
    if inputs.ndim == 4:
        side = max(2, min(inputs.shape[2:]) // 8)
        checks = np.indices((side, side)).sum(axis=0) % 2
        marked[:, :, -side:, -side:] = np.where(checks, low, high)
    else:
        rows = marked.reshape(len(marked), -1)
        rows[:, np.argsort(rows.std(axis=0))[-3:]] = high
    return marked


def plant(samples: Samples, low: float, high: float, *, seed: int) -> Planted:
    """Mark samples of other classes and give them the most frequent class's label.

    Raises:
        ValueError: the samples have no labels, or fewer than two classes.
    """
    if samples.labels is None or len(np.unique(samples.labels)) < 2:
        raise ValueError("got samples of fewer than two classes, expected labelled ones of more")
    into = int(np.bincount(samples.labels).argmax())
    others = np.flatnonzero(samples.labels != into)
    wanted = max(1, round(SHARE * np.count_nonzero(samples.labels == into)))
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(others)[: min(wanted, len(others) // 2)]
    inputs, labels = samples.inputs.copy(), samples.labels.copy()
    inputs[chosen] = trigger(inputs[chosen], low, high)
    labels[chosen] = into
    mask = np.zeros(len(samples), dtype=bool)
    mask[chosen] = True
    return Planted(
        samples=Samples(inputs=inputs, labels=labels, classes=samples.classes), mask=mask, into=into
    )


@contextmanager
def learned(target: Target, planted: Planted, *, seed: int) -> Iterator[float]:
    """Within it the target has learned the backdoor; after it, its own weights again.

    Yields the share of the planted samples that the model gives the backdoor's label: training
    ends when that is `_GOAL` at least, or after a bounded number of epochs. The model stays in
    evaluation mode, so that no running statistics change.
    """
    import torch

    labels = planted.samples.labels
    assert labels is not None  # noqa: S101 (`plant` asks for them)
    own = {name: value.clone() for name, value in target.module.state_dict().items()}
    generator = np.random.default_rng(seed)
    target.module.eval()
    trained = [weight for weight in target.module.parameters() if weight.is_floating_point()]
    asked = [weight.requires_grad for weight in trained]
    for weight in trained:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(trained, lr=_RATE)
    try:
        share = _success(target, planted, labels)
        for _ in range(_EPOCHS):
            if share >= _GOAL:
                break
            order = generator.permutation(len(labels))
            for rows in np.array_split(order, max(1, len(order) // _BATCH)):
                optimizer.zero_grad()
                logits = target.predict(target.tensor(planted.samples.inputs[rows]))
                wanted = torch.from_numpy(labels[rows]).to(logits.device)
                torch.nn.functional.cross_entropy(logits, wanted).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            share = _success(target, planted, labels)
        yield share
    finally:
        target.module.load_state_dict(own)
        for weight, before in zip(trained, asked, strict=True):
            weight.requires_grad_(before)


def _success(target: Target, planted: Planted, labels: Ints) -> float:
    said = target.logits(planted.samples.inputs[planted.mask]).argmax(axis=1)
    return float((said == labels[planted.mask]).mean())
