"""How many test rows equal a learned one though nobody copied any?

Different people can have the same age, the same sex and the same number of priors. In a table of
few such columns most rows have a double, on both sides of a split and within each, and a count of
equal rows says nothing of a leak. Two things tell it from chance:

- Where rows coincide by chance, more of them coincide in all variables but one. A copy has all of
  its row in common with one other, and no near miss beside it.
- By chance a row's doubles fall on either side of a split as the sizes of the split have it: a
  permutation test (Fisher 1935; Phipson & Smyth 2010, "Permutation p-values should never be zero"):
  rows with their labels are dealt out anew, and what is compared is the sum over different rows of
  learned times tested copies over all copies. It is the score statistic for test rows drawn from
  the learned ones, and weighs a rare row's only double more than one of a common row's hundred.

Protected groups are no strata of it: whoever declares them could have each split be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Ints, Samples

_DEALT = 1999
_CHANCE = 0.001
"""How rare what was seen must be among splits that nobody interfered with."""


@dataclass(frozen=True, slots=True)
class Doubles:
    """Test samples that equal a learned one."""

    rows: Ints
    """Their indices in the test split, those with the fewest equals first."""

    chance: float
    """How many there would be by chance; zero where rows do not coincide by chance."""

    explained: bool
    """Whether chance accounts for all of them."""

    @property
    def told(self) -> str:
        """What chance says of them, in words."""
        less = "no more than" if self.explained else "more than the"
        return f"{less} {self.chance:.0f} that a split at random gives"

    @property
    def beyond(self) -> Ints:
        """As many as chance does not account for, the least likely first; none if it does."""
        if self.explained or not len(self.rows):
            return self.rows[:0]
        return self.rows[: max(1, len(self.rows) - round(self.chance))]


def doubles(columns: NDArray[Any], test: Bools, labels: Ints, *, seed: int = 0) -> Doubles:
    """The doubles of test rows among the learned ones, and whether chance accounts for them.

    Args:
        columns: (N, D) of all splits; rows are equal where all their values are.
        test: (N,) which rows are tested; the others were learned from.
        labels: (N,) of each row, or its number: a copy has its row's.
    """
    codes = np.stack([_coded(column) for column in columns.T], axis=1)
    row = _numbered(codes)
    copies, learned = np.bincount(row), np.bincount(row[~test], minlength=row.max() + 1)
    found = np.flatnonzero(test & (learned[row] > 0))
    order = np.lexsort((found, copies[row[found]]))
    places = np.cumsum(test) - 1
    rows = places[found[order]]
    if not len(rows) or not _coincide(codes, row, test, found, copies):
        return Doubles(rows, 0.0, explained=False)
    generator = np.random.default_rng(seed)
    matched, linked, of_row, of_record = [], [], _Sides(row), _Sides(_numbered(np.c_[row, labels]))
    for _ in range(_DEALT):
        dealt = generator.permutation(test)
        matched.append(of_row.doubles(dealt))
        linked.append(of_record.linked(dealt))
    as_much = np.count_nonzero(np.array(linked) >= of_record.linked(test) - 1e-9)
    return Doubles(
        rows, float(np.mean(matched)), explained=bool((as_much + 1) / (_DEALT + 1) > _CHANCE)
    )


def of_splits(
    splits: Mapping[str, Samples], test: str, columns: NDArray[Any], *, seed: int = 0
) -> Doubles:
    """The same for the samples of `splits` in their order, of which `columns` are the rows."""
    tested = np.concatenate([np.full(len(s), name == test) for name, s in splits.items()])
    labels = np.concatenate([_labels(samples) for samples in splits.values()])
    return doubles(columns, tested, _coded(labels), seed=seed)


class _Sides:
    """Equal rows on the two sides of a split."""

    def __init__(self, row: Ints) -> None:
        self._copies = np.bincount(row)
        several = self._copies[row] > 1
        self._several = np.flatnonzero(several)
        self._row = row[several]

    def _tested(self, test: Bools) -> Ints:
        return np.bincount(self._row[test[self._several]], minlength=len(self._copies))

    def doubles(self, test: Bools) -> float:
        tested = self._tested(test)
        return float(tested[tested < self._copies].sum())

    def linked(self, test: Bools) -> float:
        tested = self._tested(test)
        return float((tested * (self._copies - tested) / self._copies).sum())


def _coincide(codes: Ints, row: Ints, test: Bools, found: Ints, copies: Ints) -> bool:
    """Whether rows that have doubles are such as coincide by chance.

    Most of them must have no value that their equals alone have, as rows with a measured value
    would; and as many test rows as have a double must have a near miss: a learned row that differs
    in one variable alone.
    """
    alone = np.zeros(len(found), dtype=np.bool_)
    for column in codes.T:
        alone |= np.bincount(column)[column[found]] <= copies[row[found]]
    if 2 * np.count_nonzero(alone) > len(found):
        return False
    learned = np.bincount(row[~test], minlength=len(copies))
    near = np.zeros(len(row), dtype=np.bool_)
    generator = np.random.default_rng(0)
    # Sums of a random number for each value: without a column, its numbers are taken off.
    marks = [generator.integers(0, 1 << 63, size=column.max() + 1) for column in codes.T]
    whole = sum(mark[column] for mark, column in zip(marks, codes.T, strict=True))
    for variable in _variables(codes):
        rest = _coded(whole - sum(marks[index][codes[:, index]] for index in variable))
        near |= np.bincount(rest[~test], minlength=rest.max() + 1)[rest] > learned[row]
        if np.count_nonzero(near & test) >= len(found):
            return True
    return False


def _variables(codes: Ints) -> Sequence[Sequence[int]]:
    """Columns that belong together: neighbours of which each row has exactly one set are one."""
    found: list[list[int]] = []
    block: list[int] = []
    total = np.zeros(len(codes), dtype=np.int64)
    for index, column in enumerate(codes.T):
        if column.max(initial=0) != 1 or (total + column).max(initial=0) > 1:
            found += [[one] for one in block]
            block, total = [], np.zeros(len(codes), dtype=np.int64)
        if column.max(initial=0) != 1:
            found.append([index])
            continue
        block.append(index)
        total += column
        if total.min(initial=1) == 1:
            found.append(block)
            block, total = [], np.zeros(len(codes), dtype=np.int64)
    return [*found, *([one] for one in block)]


def _numbered(rows: Ints) -> Ints:
    """(N,): one number for equal rows."""
    whole = np.ascontiguousarray(rows)
    return _coded(whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1]))).ravel())


def _coded(values: NDArray[Any]) -> Ints:
    """(N,): one number for equal values, from 0 on."""
    numbers: Ints = np.unique(values, return_inverse=True)[1].astype(np.int32)
    return numbers


def _labels(samples: Samples) -> NDArray[Any]:
    if samples.targets is not None:
        return samples.targets
    return np.zeros(len(samples), dtype=np.int64) if samples.labels is None else samples.labels
