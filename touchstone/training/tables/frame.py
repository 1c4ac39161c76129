"""What is a table, column by column, and what is said where a file is none?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.table import MOST_FEATURES, shown

MOST_BYTES = 1 << 30
MOST_VALUES = 50_000_000
"""Rows times columns."""

_LONGEST_NAME = 200
LARGER = "write Parquet, leave out what is not needed, or load it by load_data of a ModelSpec"


Field = tuple[str | int, ...]
"""Of touchstone.yaml, below spec.data."""

Problem = tuple[str, Field]
"""What is wrong, and the field that asks for it; empty where none does."""


class TableError(ValueError):
    """The table cannot be read, or not as touchstone.yaml says."""

    def __init__(self, *problems: str | Problem) -> None:
        """Each begins with the file, and line if known, or comes with the field that asks."""
        self.problems = [(one, ()) if isinstance(one, str) else one for one in problems]
        super().__init__("\n".join(words for words, _ in self.problems))


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One column: its different values, and which of them each row has."""

    words: Sequence[str]
    """As typed, without spaces around them, each in some row; an empty one is missing."""

    codes: NDArray[np.int64]
    """(N,): indices into `words`."""

    kind: Literal["number", "category"] | None = None
    """Where the file says what they are, as Parquet does."""

    def first(self, word: str) -> int:
        """The first row that has this value, which one has."""
        return int((self.codes == self.words.index(word)).argmax())

    def count(self, word: str) -> int:
        """How many rows have this value."""
        return int((self.codes == self.words.index(word)).sum()) if word in self.words else 0

    def without(self, gaps: Sequence[str]) -> Values:
        """The same with these values missing."""
        words = ["" if word in gaps else word for word in self.words]
        return merged(words, self.codes, self.kind)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A table, column by column."""

    file: str
    """What messages call it."""

    columns: Mapping[str, Values]
    lines: NDArray[np.int64] | None
    """(N,): the line of a text file that each row begins in; None where there are no lines."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).codes)

    def at(self, row: int) -> str:
        """Where a row stands."""
        if self.lines is None:
            return f"{self.file}: row {row + 1}"
        return f"{self.file}:{self.lines[row]}"


def merged(
    words: Sequence[str], codes: NDArray[np.int64], kind: Literal["number", "category"] | None
) -> Values:
    """A column of which several words may be one, and others in no row."""
    places: dict[str, int] = {}
    used = np.bincount(codes, minlength=len(words)) > 0
    to = np.array(
        [
            places.setdefault(word, len(places)) if there else -1
            for word, there in zip(words, used, strict=True)
        ],
        dtype=np.int64,
    )
    return Values(tuple(places), to[codes], kind)


def check_names(file: str, names: Sequence[str]) -> None:
    """Raise TableError unless each column has a name of its own."""
    if len(names) > MOST_FEATURES:
        raise TableError(
            f"{file}: got {len(names):,} columns, expected at most {MOST_FEATURES:,}: {LARGER}"
        )
    for place, name in enumerate(names, start=1):
        if not name:
            raise TableError(f"{file}: got no name of column {place}, expected one for each column")
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise TableError(
                f"{file}: got {shown(name)} as the name of column {place}, expected at most"
                f" {_LONGEST_NAME} printable characters"
            )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise TableError(
            f"{file}: got several columns named {', '.join(map(shown, twice[:5]))}, expected each"
            " name once"
        )


def check_size(file: str, rows: int, columns: int) -> None:
    """Raise TableError for more values than are read."""
    if rows * columns > MOST_VALUES:
        raise TableError(
            f"{file}: got {rows:,} rows or more of {columns:,} columns, expected at most"
            f" {MOST_VALUES:,} values: {LARGER}"
        )
