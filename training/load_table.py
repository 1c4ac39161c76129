"""Read a table: `python -P load_table.py FILE NAME DATA OUTPUT`, DATA being spec.data as JSON.

It writes the raw data into OUTPUT; or what is wrong with the table, as JSON, to standard output:
[[words, field], …]. Start it confined: the file is anyone's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(file: Path, name: str, data: str, output: Path) -> int:
    """Read, encode and write; the exit code."""
    from touchstone.training import dataset
    from touchstone.training.tables.asked import Data
    from touchstone.training.tables.encode import raw
    from touchstone.training.tables.frame import TableError
    from touchstone.training.tables.read import read

    problems: list[tuple[str, tuple[str | int, ...]]] = []
    try:
        asked = Data.model_validate_json(data)
        dataset.write_raw(output, raw(read(file, name), asked))
    except TableError as error:
        problems = error.problems
    except MemoryError:
        problems = [(f"{name}: got more than fits into memory, expected less: write Parquet,"
                     " leave out columns or rows", ())]  # fmt: skip
    sys.stdout.write(json.dumps(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.stderr.write("usage: python -P load_table.py FILE NAME DATA OUTPUT\n")
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
