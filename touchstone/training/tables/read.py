"""What does a CSV file hold, column by column? Every value as typed, and where each row stands.

The file is anyone's: run where it may be read (`training/load_table.py` is started confined).
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from touchstone.training.tables.frame import (
    LARGER,
    MOST_BYTES,
    Frame,
    TableError,
    check_names,
    check_size,
    merged,
)
from trust_gates.inputs.table import shown

_LONGEST_VALUE = 1 << 16
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read(path: Path, file: str) -> Frame:
    """The table at `path`, a CSV or Parquet file by what it begins with.

    Raises:
        TableError: it is neither, malformed, or too large.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise TableError(f"{file}: got {size:,} bytes, expected at most {MOST_BYTES:,}: {LARGER}")
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
                why = f"got a field of more than {_LONGEST_VALUE:,} characters (a quote left open?)"
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
