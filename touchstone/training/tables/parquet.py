"""What does a Parquet file hold, column by column?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from touchstone.training.tables.frame import (
    MOST_BYTES,
    Frame,
    TableError,
    Values,
    check_names,
    check_size,
    merged,
)
from trust_gates.inputs.table import shown
from trust_gates.visible import one_line

if TYPE_CHECKING:
    import pyarrow

_LONGEST_METADATA = 1 << 26


def read(path: Path, file: str) -> Frame:
    """The table at `path`.

    Raises:
        TableError: it is malformed, too large unpacked, has a column that is neither numbers nor
            words, or pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise TableError(
            f"{file}: reading Parquet needs pyarrow, which is not installed where Touchstone runs:"
            " pip install 'touchstone[parquet]', or write the table as CSV"
        ) from None
    try:
        words = _words(parquet.read_schema(path))
        with parquet.ParquetFile(
            path,
            read_dictionary=words,  # a word that each row has is then in memory once
            thrift_string_size_limit=_LONGEST_METADATA,
            thrift_container_size_limit=1_000_000,
        ) as found:
            schema, said = found.schema_arrow, found.metadata
            kinds = _kinds(file, schema)
            check_names(file, [name.strip() for name in schema.names])
            check_size(file, said.num_rows, len(kinds))
            size = sum(said.row_group(i).total_byte_size for i in range(said.num_row_groups))
            if size > MOST_BYTES:
                raise TableError(
                    f"{file}: got {size:,} bytes unpacked, expected at most {MOST_BYTES:,}"
                )
            if not said.num_rows:
                raise TableError(f"{file}: got no rows, expected at least one")
            columns = {
                name.strip(): _values(found.read([name], use_threads=False).column(0), kind)
                for name, kind in zip(schema.names, kinds, strict=True)
            }
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        why = one_line(str(error))[:200]
        raise TableError(
            f"{file}: {why}; expected a Parquet file as pyarrow or pandas writes it"
        ) from None
    return Frame(file, columns, None)


def _words(schema: pyarrow.Schema) -> list[str]:
    """Names of the columns of texts."""
    from pyarrow import types

    return [one.name for one in schema if types.is_string(one.type)]


def _kinds(file: str, schema: pyarrow.Schema) -> list[Literal["number", "category"]]:
    from pyarrow import types

    numbers = (types.is_integer, types.is_floating, types.is_decimal)
    words = (types.is_string, types.is_large_string, types.is_boolean)
    found: list[Literal["number", "category"]] = []
    wrong = []
    for field in schema:
        kind: Any = field.type.value_type if types.is_dictionary(field.type) else field.type
        if any(fits(kind) for fits in numbers):
            found.append("number")
        elif any(fits(kind) for fits in words):
            found.append("category")
        else:
            wrong.append(f"{shown(field.name)} of type {one_line(str(kind))[:60]}")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise TableError(
            f"{file}: got the columns {', '.join(wrong[:5])}{more}; expected numbers, words, and"
            " true or false: make numbers of moments (such as days since a date), flatten what is"
            " nested, leave out the rest"
        )
    return found


def _values(column: Any, kind: Literal["number", "category"]) -> Values:
    import pyarrow

    whole = column.combine_chunks()
    if isinstance(whole, pyarrow.ChunkedArray):
        whole = whole.chunk(0)
    if not pyarrow.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    words = [_word(value) for value in whole.dictionary.to_pylist()]
    codes = whole.indices.cast(pyarrow.int64()).fill_null(len(words))
    return merged([*words, ""], codes.to_numpy(zero_copy_only=False), kind)


def _word(value: Any) -> str:
    """A value as it would be typed; missing is empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()
