"""Backdoors that we know of: planted into a copy of the data, and learned by the model.

What a search finds of them is what its silence is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from trust_gates.integrity.poison.marks import KINDS, Drawn, Inputs, Mark
from trust_gates.samples import Bools, Ints, Samples
from trust_gates.target import Target

WANTED = 80
"""Planted samples of a kind: so many show a recall of 0.9 with one or two of them missed."""

TOOK = 0.9
"""A planted backdoor works from this share of other samples on that its mark turns."""

_SHARE = 0.25
"""Most planted samples of one mark, as a share of the class that they are given the label of."""

_PLANTED = 0.25
"""Most planted samples of all marks, as a share of the samples."""

_ROUNDS = 4
_DRAWS = 32
"""Times that a mark is drawn, until it is one that there is not yet."""

_TRIED = 50
"""Samples that a mark's success is measured on."""

_GOAL = 0.95
"""Training ends here: a backdoor that was trained in from the start works about as well."""

_MORE = 2
"""Times that an epoch shows planted samples more often than others: so they are learned sooner."""

_RATE = 3e-3
_BATCH = 64
_EPOCHS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Door:
    """One backdoor: a mark, and the samples that carry it."""

    kind: str
    mark: Mark
    into: int
    """The class whose label they were given."""

    rows: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Samples with backdoors of ours among them."""

    samples: Samples
    doors: Sequence[Door]

    @property
    def mask(self) -> Bools:
        """(N,): the samples that carry a mark and the wrong label."""
        found = np.zeros(len(self.samples), dtype=bool)
        for door in self.doors:
            found[door.rows] = True
        return found

    @property
    def kinds(self) -> list[str]:
        """(N,): the kind of mark on each sample, empty where there is none."""
        found = [""] * len(self.samples)
        for door in self.doors:
            for row in door.rows:
                found[row] = door.kind
        return found


def rounds(samples: Samples, kinds: int) -> int:
    """How many times to plant, each time into the samples as they were, for enough of each kind."""
    return min(_ROUNDS, math.ceil(WANTED / max(1, _each_round(len(samples), kinds))))


def _each_round(count: int, kinds: int) -> int:
    return min(WANTED, int(_PLANTED * count) // max(1, kinds))


def plant(
    samples: Samples,
    kinds: Sequence[str],
    low: float,
    high: float,
    *,
    seed: Sequence[int],
    classes: int | None = None,
) -> Planted:
    """Mark samples of other classes and give them a class's label; several marks of each kind.

    Args:
        classes: into how many classes at most, the most frequent first; all of them by default.

    Raises:
        ValueError: the samples have no labels, or fewer than two classes.
    """
    if samples.labels is None or len(np.unique(samples.labels)) < 2:
        raise ValueError("got samples of fewer than two classes, expected labelled ones of more")
    generator = np.random.default_rng(seed)
    sizes = np.bincount(samples.labels)
    into = np.flatnonzero(sizes)[np.argsort(-sizes[sizes > 0], kind="stable")][:classes]
    wanted = _each_round(len(samples), len(kinds))
    most = max(1, round(_SHARE * float(np.median(sizes[into]))))
    marks = 1 if classes else max(1 if rounds(samples, len(kinds)) > 1 else 2, -(-wanted // most))
    inputs, labels = samples.inputs.copy(), samples.labels.copy()
    free = np.ones(len(samples), dtype=bool)
    doors: list[Door] = []
    turns = [generator.permutation(into) for _ in range(-(-marks * len(kinds) // len(into)))]
    for number, label in enumerate(np.concatenate(turns)[: marks * len(kinds)].tolist()):
        kind = kinds[number % len(kinds)]
        others = generator.permutation(np.flatnonzero(free & (samples.labels != label)))
        rows = others[: min(most, -(-wanted // marks), max(1, len(others) // 2))]
        drawn = Drawn(inputs=samples.inputs, low=low, high=high, generator=generator)
        mark = _another(kind, drawn, doors)
        inputs[rows], labels[rows], free[rows] = mark(samples.inputs[rows]), label, False
        doors.append(Door(kind=kind, mark=mark, into=label, rows=rows))
    marked = Samples(inputs=inputs, labels=labels, classes=samples.classes)
    return Planted(samples=marked, doors=doors)


def _another(kind: str, drawn: Drawn, doors: Sequence[Door]) -> Mark:
    """A mark that no other door has: of one mark for two classes a model would learn half.

    There are few corners; where all are taken, a mark is used again.
    """
    probe = drawn.inputs[:1]
    known = [door.mark(probe) for door in doors if door.kind == kind]
    for _ in range(_DRAWS):
        mark = KINDS[kind].draw(drawn)
        if not any(np.array_equal(mark(probe), other) for other in known):
            break
    return mark


@contextmanager
def learned(target: Target, planted: Planted, *, seed: int) -> Iterator[Mapping[str, float]]:
    """Within it the target has learned the backdoors; after it, its own weights again.

    Yields for each kind the share of other samples that its marks turn into their classes: training
    ends when that is `_GOAL` at least for all, or after a bounded number of epochs. The model stays
    in evaluation mode, so that no running statistics change.
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
    tried = list(_tried(planted, labels))
    more = np.repeat(np.flatnonzero(planted.mask), _MORE)
    try:
        took = _success(target, planted, tried)
        for _ in range(_EPOCHS):
            if min(took.values()) >= _GOAL:
                break
            order = generator.permutation(np.concatenate([np.arange(len(labels)), more]))
            for rows in np.array_split(order, max(1, len(order) // _BATCH)):
                optimizer.zero_grad()
                logits = target.predict(target.tensor(planted.samples.inputs[rows]))
                wanted = torch.from_numpy(labels[rows]).to(logits.device)
                torch.nn.functional.cross_entropy(logits, wanted).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            took = _success(target, planted, tried)
        yield took
    finally:
        target.module.load_state_dict(own)
        for weight, before in zip(trained, asked, strict=True):
            weight.requires_grad_(before)


def _tried(planted: Planted, labels: Ints) -> Iterator[Inputs]:
    """For each door samples of other classes that were not planted, with its mark on them."""
    free = ~planted.mask
    for door in planted.doors:
        others = np.flatnonzero(free & (labels != door.into))[:_TRIED]
        yield door.mark(planted.samples.inputs[others])


def _success(target: Target, planted: Planted, tried: Sequence[Inputs]) -> dict[str, float]:
    turned: dict[str, list[float]] = {}
    for door, inputs in zip(planted.doors, tried, strict=True):
        said = target.logits(inputs).argmax(axis=1)
        turned.setdefault(door.kind, []).append(float((said == door.into).mean()))
    return {kind: float(np.mean(shares)) for kind, shares in turned.items()}
