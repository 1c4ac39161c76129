"""What does a person ask a served model? JSON or rows of a CSV, as the body of a request.

What values mean is for the server to say: here cells of a CSV become what JSON has for them, by the
model's metadata, and one input becomes a batch of one.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from touchstone.errors import UsageError

_WORDS = "BYTES"
_FORMS = "JSON, the name of a .json or .csv file, or - for standard input"


def body(given: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a V1 request, or of a V2 one where `given` is such.

    Args:
        given: JSON, the name of a file of it or of a CSV with a header, or `-`: one of them from
            standard input.
        metadata: of the model, as its server gives it.

    Raises:
        UsageError: it is none of them.
    """
    document = _read(given, metadata)
    names = {tensor["name"] for tensor in metadata["inputs"]}
    if isinstance(document, dict) and not names & document.keys():
        for key in ("instances", "inputs"):
            if isinstance(document.get(key), list):
                return document
    if not isinstance(document, list) or _one(document, metadata):
        document = [document]
    return {"instances": document}


def _read(given: str, metadata: Mapping[str, Any]) -> Any:
    try:
        file = Path(given)
        named = given != "-" and file.is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        named = False
    try:
        if named:
            text = file.read_text(encoding="utf-8-sig")
        else:
            text = sys.stdin.read() if given == "-" else given
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{given} cannot be read: {error}") from None
    rows = (
        file.suffix.lower() == ".csv" if named else given == "-" and text.lstrip()[:1] not in '[{"'
    )
    if rows:
        return _rows(text, metadata)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = given if len(given) <= 60 else given[:60] + "…"
        what = f"{given} is no JSON ({error})" if named else f"got --input {shown!r}"
        raise UsageError(f"{what}, expected {_FORMS}") from None


def _rows(text: str, metadata: Mapping[str, Any]) -> list[Any]:
    """The rows of a CSV: mappings by its header, texts, or lists of numbers without names."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        rows = [_row(cells, header, lines.line_num) for cells in lines if cells]
    except csv.Error as error:
        raise UsageError(f"line {lines.line_num}: {error}, expected a CSV") from None
    if not rows:
        raise UsageError("got a CSV without a row, expected a header and an input a line")
    kinds = dict(_kinds(metadata))
    if not kinds:
        return [[_number(cell) for cell in row.values()] for row in rows]
    (first, *more) = metadata["inputs"]
    if first["datatype"] == _WORDS and "encoded" in first["parameters"] and not more:
        if len(header) != 1:
            raise UsageError(f"got {len(header)} columns, expected one with a text a line")
        return [cell for row in rows for cell in row.values()]
    return [
        {
            name: (cell or None) if kinds.get(name) == _WORDS else _number(cell)
            for name, cell in row.items()
        }
        for row in rows
    ]


def _row(cells: list[str], header: list[str], line: int) -> dict[str, str]:
    if len(cells) != len(header) or len(set(header)) != len(header):
        raise UsageError(
            f"line {line}: got {len(cells)} cells, expected one for each of the {len(set(header))} "
            "columns that the header names, each once"
        )
    return dict(zip(header, cells, strict=True))


def _kinds(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The datatype of what rows may name."""
    for tensor in metadata["inputs"]:
        features = tensor.get("parameters", {}).get("features")
        if features:
            yield from dict.fromkeys(features, tensor["datatype"]).items()
        elif len(tensor["shape"]) == 1:
            yield tensor["name"], tensor["datatype"]


def _number(cell: str) -> Any:
    """What JSON has for a cell: a number, null for nothing; other text is left for the server."""
    if not cell.strip():
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _one(values: list[Any], metadata: Mapping[str, Any]) -> bool:
    """Whether lists of numbers are one input, and no batch: they are as deep as one."""
    first = metadata["inputs"][0]
    shape = first.get("parameters", {}).get("encoded", first)["shape"]
    axes = max(len(shape) - 1, 1)
    depth, inner = 0, values
    while isinstance(inner, list) and inner:
        depth, inner = depth + 1, inner[0]
    return depth == axes and isinstance(inner, int | float)
