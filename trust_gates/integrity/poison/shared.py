"""Do some samples of a class share a mark that makes the model take anything for that class?

A mark that is the same on many samples stands out once the inputs are whitened: it lies where
clean inputs hardly vary (spectral signatures as in Tran et al., 2018, of whitened inputs as Hayase
et al., SPECTRE, 2021, whiten representations). It may be local, spread or all over the input. What
such samples have beyond their nearest neighbours of other classes is the mark, which is then
tried: it is a backdoor's where

- without it the samples look like other classes, to their neighbours and to the model;
- without it the rest of the class still looks like the class: it is not what makes the class;
- with it samples of other classes are taken for the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Ints, Samples
from trust_gates.target import Target

Floats64 = NDArray[np.float64]
Rows = NDArray[np.float32]

_FEWEST = 5
"""Fewer samples share nothing, and are no class."""

_FLOOR = 1e-3
"""Variances below, as a part of the squared range, are noise: they are not scaled up to 1."""

_DIRECTIONS = 3
"""Of the class's whitened inputs, in each of `_ROUNDS`: a found mark's samples are left out then,
so that the next mark of the same class shows."""

_ROUNDS = 6
_NEIGHBOURS = 5
_MATCHED = 3
"""Times that the mark is read from the neighbours which the samples have without it."""

_PALEST = 0.5
"""Least that a blended mark leaves of an input."""

_MATCHES = 400
"""Samples of other classes among which they are looked for."""

_TRIED = 200
_CHANCE = 1e-3
"""Of so many samples looking otherwise without the mark, were they as the rest of the class is."""

_TIMES = 6
"""So much more of the mark's samples than of the rest look otherwise without it."""

_LEFT, _KEPT = 0.4, 0.8
"""Shares of the mark's samples and of the rest that the model still takes for the class without it:
at most and at least. Of 40 clean sets of digits, what a part of a class shares left the rest three
in four at most where it turned half of other samples."""

_TURNED = 0.5
"""Share of samples of other classes that a mark must turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a mark does."""

    part: float
    """Share of its samples that look like other classes without it."""

    rest: float
    """Share of the rest of the class that does so only without it: others may carry other marks."""

    chance: float
    part_kept: float
    """Share that the model still takes for the class without the mark."""

    rest_kept: float
    turned: float
    """Share of samples of other classes that the model takes for the class with the mark."""

    @property
    def opens(self) -> bool:
        """Whether it is a backdoor's."""
        return (
            self.chance <= _CHANCE
            and self.part >= max(0.5, _TIMES * self.rest)
            and self.part_kept <= _LEFT
            and self.rest_kept >= _KEPT
            and self.turned >= _TURNED
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mark:
    """A pattern that is added to inputs of which a part shines through (all, where it is local)."""

    kept: float
    added: Rows
    """(D,)."""

    def put(self, rows: Rows) -> Rows:
        return self.kept * rows + self.added

    def taken(self, rows: Rows) -> Rows:
        return (rows - self.added) / self.kept


class Search:
    """For marks in a classifier's samples; what was found is remembered.

    Raises:
        ValueError: the samples have no labels.
    """

    def __init__(self, target: Target, samples: Samples, *, seed: int) -> None:
        if samples.labels is None:
            raise ValueError("got samples without labels, expected those of a classifier")
        self._target, self._labels = target, samples.labels
        self._shape = samples.inputs.shape[1:]
        self._low, self._high = target.low, target.high
        self._rows = samples.inputs.reshape(len(samples), -1).astype(np.float32)
        self._whitened = whitened(self._rows, _FLOOR * (target.high - target.low) ** 2)
        self._said = self._ask(self._rows)
        every = np.arange(len(samples))
        nothing = _Mark(kept=1.0, added=np.zeros(self._rows.shape[1], np.float32))
        self._doubted = self._other(self._labels, every, nothing, np.ones(len(samples), dtype=bool))
        self._order = np.random.default_rng(seed).permutation(len(samples))
        self._scores = np.zeros(len(samples))
        self._flagged = np.zeros(len(samples), dtype=bool)

    def run(self) -> tuple[Floats64, Bools]:
        """Scores in [0, 1] and flags (N,) of the samples that carry a mark."""
        for label in np.unique(self._labels):
            for _ in range(_ROUNDS):
                if not self._round(label):
                    break
        return self._scores, self._flagged

    def _round(self, label: int) -> bool:
        """Flag what opens the most of what the class's other samples share: was there anything?

        One at a time: samples with another mark keep their class whatever else is taken from them.
        """
        rows = np.flatnonzero((self._labels == label) & ~self._flagged)
        strongest, best = 0.0, rows[:0]
        for part in _parts(self._whitened[rows]):
            inside = rows[part]
            tried = self.tried(label, inside, rows[~part])
            strength = max(0.0, tried.part - tried.rest) * tried.turned
            self._scores[inside] = np.maximum(self._scores[inside], strength)
            if tried.opens and strength > strongest:
                strongest, best = strength, inside
        self._flagged[best] = True
        return len(best) > 0

    def tried(self, label: int, inside: Ints, rest: Ints) -> Tried:
        """Read the mark that the samples `inside` share and the rest of the class lacks; try it."""
        from scipy.stats import binom

        mark = self._mark(inside, self._order[self._labels[self._order] != label][:_MATCHES])
        pool = ~self._flagged
        pool[inside] = False
        part = self._other(label, inside, mark, pool)
        others = self._other(label, rest, mark, pool)
        chance = float(binom.sf(part.sum() - 1, len(part), (others.sum() + 1) / (len(others) + 2)))
        if chance > _CHANCE:
            turned = kept = rest_kept = 0.0  # the model need not be asked
        else:
            order = self._order
            strange = order[(self._labels[order] != label) & (self._said[order] != label)][:_TRIED]
            turned = self._taken_for(label, mark.put(self._rows[strange]))
            kept = self._taken_for(label, mark.taken(self._rows[inside]))
            rest_kept = self._taken_for(label, mark.taken(self._rows[rest]))
        return Tried(
            part=float(part.mean()),
            rest=float((others & ~self._doubted[rest]).mean()),
            chance=chance,
            part_kept=kept,
            rest_kept=rest_kept,
            turned=turned,
        )

    def _mark(self, inside: Ints, others: Ints) -> _Mark:
        """What the samples have beyond their neighbours of other classes."""
        rows, pool = self._rows[inside], self._rows[others]
        mark = _Mark(kept=1.0, added=rows.mean(axis=0) - pool.mean(axis=0))
        for _ in range(_MATCHED):
            near = pool[_nearest(self._clip(mark.taken(rows)), pool)].mean(axis=1)
            varied = near - near.mean(axis=0)
            kept = float((varied * rows).sum() / max(float(np.square(varied).sum()), 1e-9))
            kept = min(1.0, max(_PALEST, kept))
            mark = _Mark(kept=kept, added=rows.mean(axis=0) - kept * near.mean(axis=0))
        return mark

    def _other(self, label: Ints | int, index: Ints, mark: _Mark, pool: Bools) -> Bools:
        """(n,): without the mark most neighbours of the pool have another label."""
        members = np.flatnonzero(pool)
        own = np.where(pool[index], np.cumsum(pool)[index] - 1, -1)
        near = _nearest(self._clip(mark.taken(self._rows[index])), self._rows[members], own)
        same: Ints = np.equal(self._labels[members][near].T, label).sum(axis=0)
        doubted: Bools = 2 * same < near.shape[1]
        return doubted

    def _taken_for(self, label: int, rows: Rows) -> float:
        """Share of the rows that the model takes for the class; 0 of none."""
        return float((self._ask(rows) == label).mean()) if len(rows) else 0.0

    def _ask(self, rows: Rows) -> Ints:
        said: Ints = self._target.logits(self._clip(rows).reshape(-1, *self._shape)).argmax(axis=1)
        return said

    def _clip(self, rows: Rows) -> Rows:
        return rows.clip(self._low, self._high)


def whitened(rows: Rows, floor: float) -> Floats64:
    """(N, min(N, D)) rows in their principal directions, each scaled by its spread.

    The floor of the variances is raised to that of the N/8th direction: with more of them than
    samples could tell apart, every sample would stand out alike.
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    if centred.shape[1] <= len(centred):
        left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    else:
        squares, left = np.linalg.eigh(centred @ centred.T)
        left, spread = left[:, ::-1], np.sqrt(squares[::-1].clip(0))
    variances = spread**2 / len(centred)
    told = len(centred) // 8
    if len(variances) > told:
        floor = max(floor, float(variances[told]))
    result: Floats64 = left * (spread / np.sqrt(variances + floor))
    return result


def _parts(rows: Floats64) -> Iterator[Bools]:
    """The smaller side of the widest gap (Otsu, 1979) along each of the first singular directions.

    Of the larger side little can be said: where poison is the smaller, the rest of the class shares
    all that makes the class, and looks otherwise without it too.
    """
    if len(rows) < 2 * _FEWEST:
        return
    left, spread, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    for values in (left * spread)[:, :_DIRECTIONS].T:
        part = values > _parting(values)
        part = part if 2 * part.sum() <= len(part) else ~part
        if part.sum() >= _FEWEST:
            yield part


def _parting(values: Floats64) -> float:
    """The threshold that leaves the least variance within its two sides."""
    ordered = np.sort(values)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    means = below / count - (ordered.sum() - below) / (len(ordered) - count)
    best = int(np.argmax(count * (len(ordered) - count) * means**2))
    return float(ordered[best] + ordered[best + 1]) / 2


def _nearest(asked: Rows, pool: Rows, own: Ints | None = None) -> Ints:
    """(n, k) places in the pool of the nearest rows; `own` is each row's own place there, or -1."""
    apart = np.square(pool).sum(axis=1) - 2 * asked @ pool.T
    if own is not None:
        there = np.flatnonzero(own >= 0)
        apart[there, own[there]] = np.inf
    count = min(_NEIGHBOURS, len(pool) - 1)
    near: Ints = np.argpartition(apart, count, axis=1)[:, :count]
    return near
