"""What does a CSV file hold, column by column? Every value as typed, and where each row stands.

The file is anyone's: run where it may be read (`training/load_table.py` is started confined).
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.table import MOST_FEATURES, shown

MOST_BYTES = 1 << 30
MOST_VALUES = 50_000_000
"""Rows times columns."""

_LONGEST_NAME, _LONGEST_VALUE = 200, 1 << 16
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LARGER = "write Parquet, leave out what is not needed, or load it by load_data of a ModelSpec"


Field = tuple[str | int, ...]
"""Of touchstone.yaml, below spec.data."""


class TableError(ValueError):
    """The table cannot be read, or not as touchstone.yaml says."""

    def __init__(self, *problems: str | tuple[str, Field]) -> None:
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


def read(path: Path, file: str) -> Frame:
    """The table at `path`, a CSV or Parquet file by what it begins with.

    Raises:
        TableError: it is neither, malformed, or too large.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise TableError(f"{file}: got {size:,} bytes, expected at most {MOST_BYTES:,}: {_LARGER}")
    with path.open("rb") as stream:
        start = stream.read(1 << 16)
    if start[:4] == b"PAR1":
        from touchstone.training.tables import parquet

        return parquet.read(path, file)
    if what := _other(start):
        raise TableError(f"{file}: got {what}, expected a CSV file in UTF-8, or Parquet")
    try:
        return _csv(path, file)
    except UnicodeDecodeError:
        line, byte = _undecodable(path)
        raise TableError(
            f"{file}:{line}: got the byte 0x{byte:02x}, which is no UTF-8; expected a CSV file in"
            " UTF-8: `iconv -f latin1 -t utf-8 OLD > NEW` makes one of Latin-1"
        ) from None


def check_names(file: str, names: Sequence[str]) -> None:
    """Raise TableError unless each column has a name of its own."""
    if len(names) > MOST_FEATURES:
        raise TableError(
            f"{file}: got {len(names):,} columns, expected at most {MOST_FEATURES:,}: {_LARGER}"
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
            f" {MOST_VALUES:,} values: {_LARGER}"
        )


def _other(start: bytes) -> str:
    """What a file is that begins so, where it is no text in UTF-8."""
    if not start.strip():
        return "an empty file"
    begins = {
        b"\x1f\x8b": "a gzip file: unpack it",
        b"PK": "a zip file, as spreadsheets are: save the sheet as CSV",
        b"\xd0\xcf\x11\xe0": "an old spreadsheet: save the sheet as CSV",
        b"\x28\xb5\x2f\xfd": "a zstd file: unpack it",
        b"\xff\xfe": "text in UTF-16: save it as UTF-8",
        b"\xfe\xff": "text in UTF-16: save it as UTF-8",
    }
    found = next((what for magic, what in begins.items() if start.startswith(magic)), "")
    return found or ("bytes that are no text" if b"\0" in start else "")


def _undecodable(path: Path) -> tuple[int, int]:
    """The first line that is no UTF-8, and its first byte that is not."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return number, line[error.start]
    return 0, 0


def _csv(path: Path, file: str) -> Frame:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = _rows(stream, file, _delimiter(stream, file))
        _, first = next(rows, (0, []))
        names = [name.strip() for name in first]
        check_names(f"{file}:1", names)
        codes = [array("q") for _ in names]
        words: list[dict[str, int]] = [{} for _ in names]
        lines = array("q")
        for line, row in rows:
            if len(row) != len(names):
                raise TableError(
                    f"{file}:{line}: got {len(row)} fields, expected {len(names)}, as the header"
                    " has: a field with a delimiter in it is quoted"
                )
            lines.append(line)
            for code, known, field in zip(codes, words, row, strict=True):
                code.append(known.setdefault(field, len(known)))
            if not len(lines) % 1000:
                check_size(file, len(lines), len(names))
    check_size(file, len(lines), len(names))
    if not lines:
        raise TableError(f"{file}: got a header without rows, expected at least one")
    columns = {}
    for name, code, known in zip(names, codes, words, strict=True):
        column = merged([word.strip() for word in known], np.array(code, dtype=np.int64), None)
        columns[name] = column
    return Frame(file, columns, np.array(lines, dtype=np.int64))


def _delimiter(stream: io.TextIOBase, file: str) -> str:
    """What divides the header into most names; the stream stands at its beginning again."""
    header = stream.readline()
    stream.seek(0)
    found = {}
    for one in _DELIMITERS:
        try:
            found[one] = len(next(csv.reader([header], delimiter=one), []))
        except csv.Error:  # a name with a line end in it, or one that is too long: told by the rows
            found[one] = header.count(one)
    best = max(found, key=lambda one: found[one])
    if found[best] < 2:
        words = ", ".join(_DELIMITERS.values())
        raise TableError(
            f"{file}:1: got one column {shown(header.strip())}, expected a header of several names"
            f" divided by one of {words}"
        )
    return best


def _rows(stream: io.TextIOBase, file: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, and the line that it begins in."""
    csv.field_size_limit(_LONGEST_VALUE)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            why = str(error)
            if "field limit" in why:
                why = (
                    f"got a field of more than {_LONGEST_VALUE:,} characters; is a quote left open"
                )
            elif "unexpected end" in why:
                why = 'got a quote (") that is never closed'
            else:
                why = re.sub(
                    r"^'?(.)'? expected after '\"'$", r"got text after a closed quote", why
                )
            raise TableError(
                f'{file}:{line}: {why}; expected CSV as of RFC 4180: a field with "quotes" has each'
                " of them twice and stands in quotes"
            ) from None
        if row is None:
            return
        if row:
            yield line, row
