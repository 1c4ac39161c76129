"""A million rows as a few counts, what they are worth, and thousands of resamples of them.

Every group figure depends on the rows only through six numbers a group, so neither AIF360 nor a
resample needs to see the rows again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness.rows import Rows
from trust_gates.proportions import effective
from trust_gates.statistics import RESAMPLES

TN, FP, FN, TP, SCORE_UNFAVORABLE, SCORE_FAVORABLE = range(6)
"""Columns of counts (R, groups, 6): decisions, and sums of scores by true label.

A cell's number is 2 x favorable label + favorable prediction.
"""

CELLS = 4

_BINS = 64
"""Scores are averaged within so many equal steps: of their variance this leaves out less than 1 in
10,000 at most (a step's width squared over 12), of their mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of some kinds of rows."""

    of: tuple[int, ...]
    """The cells whose rows it rests on."""

    hits: tuple[int, ...] = ()
    """The cells whose rows it counts; without any it is the mean of the rows' scores."""

    turned: bool = False
    """Whether it is one less that mean."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A rate as it was seen in some groups."""

    value: float
    rows: int
    """How many it rests on."""

    trials: float
    units: float
    """As `proportions.share` takes them."""

    errors: NDArray[np.float64] | None = None
    """(units,): what each unit adds to the rate's error; None where rows are independent."""


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

    def seen(self, rate: Rate, groups: Sequence[int]) -> Seen:
        """The rate in some groups, and of how many independent trials it is worth."""
        group, kind = np.divmod(self.atom, CELLS)
        inside = np.isin(group, list(groups)) & np.isin(kind, rate.of)
        count = self.count[inside]
        rows = int(count.sum())
        if not rows:
            return Seen(value=np.nan, rows=0, trials=np.nan, units=np.inf)
        hit = np.isin(kind[inside], rate.hits) if rate.hits else self.score[inside]
        values = 1.0 - hit if rate.turned else hit.astype(np.float64)
        value = float(count @ values / rows)
        if self.table is None:
            if rate.hits:
                return Seen(value=value, rows=rows, trials=rows, units=np.inf)
            units, squares, errors = rows, float(count @ (values - value) ** 2), None
        else:
            sums = self.table[:, inside] @ (values - value)
            units = int((self.table[:, inside].sum(axis=1) > 0).sum())
            squares, errors = float(sums @ sums), sums / rows
        trials = float(effective(*(np.float64(one) for one in (value, squares, rows, units))))
        return Seen(
            value=value,
            rows=rows,
            trials=min(trials, rows) if rate.hits else trials,
            units=units,
            errors=errors,
        )

    def resampled(self, seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
        """(resamples, groups, 6): what the counts could be too, without scores.

        Draws of the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981) over whole units,
        with half a unit in every cell (Jeffreys' prior): a cell that was never seen (nobody was
        missed) would show no spread at all, however few the rows.
        """
        generator = np.random.default_rng(seed)
        shape = (resamples, self.groups * CELLS)
        if self.table is None:
            seen = np.bincount(self.atom, weights=self.count, minlength=shape[1])
            drawn = generator.gamma(seen + 0.5, size=shape)
        else:
            cells = np.zeros((len(self.table), shape[1]))
            np.add.at(cells.T, self.atom, self.table.T)
            each = self.count.sum() / len(self.table)
            drawn = generator.exponential(size=(resamples, len(self.table))) @ cells
            drawn += each * generator.gamma(0.5, size=shape)
        columns = np.full((resamples, self.groups, 6), np.nan)
        columns[..., :CELLS] = drawn.reshape(resamples, self.groups, CELLS)
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
