"""A million rows as a few counts, and a thousand resamples of them.

Every group figure depends on the rows only through six numbers a group, so neither AIF360 nor a
bootstrap needs to see the rows again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness.rows import Rows
from trust_gates.statistics import RESAMPLES, resample_weights

TN, FP, FN, TP, SCORE_UNFAVORABLE, SCORE_FAVORABLE = range(6)
"""Columns of counts (R, groups, 6): decisions, and sums of scores by true label.

A cell's number is 2 x favorable label + favorable prediction.
"""

CELLS = 4

_BINS = 64
"""Scores are averaged within so many equal steps, for the resamples alone: this leaves out less
than 1 in 10,000 of a score's variance at most (a step's width squared over 12)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Rows collapsed by group, truth, prediction and step of the score."""

    groups: int
    atom: NDArray[np.int64]
    """(atoms,): the cell of each kind of row, 4 x group + cell; only kinds that occur."""

    count: NDArray[np.float64]
    score: NDArray[np.float64]
    """(atoms,): the mean score; NaN where there are no scores."""

    table: NDArray[np.float64] | None
    """(units, atoms) where rows come in units of several, else None."""

    def observed(self) -> NDArray[np.float64]:
        """(1, groups, 6): the counts themselves."""
        return self._columns(self.count[None])

    def resampled(self, seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
        """(resamples, groups, 6): counts of each bootstrap resample of whole units.

        A cell that was never seen (nobody was missed) would show no spread at all, however few
        the rows: half a row on average (Jeffreys' prior) stands for what was not seen but
        could be.
        """
        generator = np.random.default_rng(seed)
        if self.table is None:
            total = self.count.sum()
            times = generator.multinomial(int(total), self.count / total, size=resamples)
            drawn = times.astype(np.float64)
        else:
            drawn = resample_weights(len(self.table), seed, resamples) @ self.table
        columns = self._columns(drawn)
        unseen = np.setdiff1d(np.arange(self.groups * CELLS), self.atom)
        extra = generator.poisson(0.5, size=(resamples, len(unseen))).astype(np.float64)
        columns[:, unseen // CELLS, unseen % CELLS] += extra
        for index, cell in enumerate(unseen):  # a row that nobody saw has a score in the middle
            half = SCORE_UNFAVORABLE + int(cell) % CELLS // 2
            columns[:, int(cell) // CELLS, half] += extra[:, index] / 2
        return columns

    def _columns(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = np.zeros((len(drawn), self.groups, 6))
        for index, cell in enumerate(self.atom):
            group, kind = divmod(int(cell), CELLS)
            columns[:, group, kind] += drawn[:, index]
            columns[:, group, SCORE_UNFAVORABLE + kind // 2] += drawn[:, index] * self.score[index]
        return columns


def collapse(rows: Rows, groups: int) -> Counts:
    """Count the rows of each kind; `groups` is the number of groups that there could be."""
    cell = CELLS * rows.group.astype(np.int64) + 2 * rows.truth + rows.predicted
    if rows.scores is None:
        code = cell * _BINS
        scores = np.full(len(rows), np.nan)
    else:
        scores = np.asarray(rows.scores, dtype=np.float64)
        code = cell * _BINS + np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    size = groups * CELLS * _BINS
    count = np.bincount(code, minlength=size).astype(np.float64)
    there = np.flatnonzero(count)
    sums = np.bincount(code, weights=scores, minlength=size)[there]
    return Counts(
        groups=groups,
        atom=there // _BINS,
        count=count[there],
        score=sums / count[there],
        table=_table(rows, np.searchsorted(there, code), len(there)),
    )


def _table(rows: Rows, atom: NDArray[np.int64], atoms: int) -> NDArray[np.float64] | None:
    unit, index = np.unique(rows.unit, return_inverse=True)
    if len(unit) == len(rows):
        return None
    table = np.zeros((len(unit), atoms))
    np.add.at(table, (index, atom), 1.0)
    return table
