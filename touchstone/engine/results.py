"""What did a task or step leave in its result files?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from touchstone.engine.values import as_value, declared_type, type_of
from touchstone.errors import ManifestError


class ResultsTooLargeError(ManifestError):
    """All results of a TaskRun together exceed the limit."""


def read_results(specs: Sequence[Mapping[str, Any]], folder: Path, *, limit: int) -> dict[str, Any]:
    """The declared results found as files in `folder`, together at most `limit` bytes.

    Raises ManifestError for a result of the wrong type, ResultsTooLargeError beyond `limit`.
    """
    found: dict[str, Any] = {}
    size = 0
    for spec in specs:
        name, kind = spec["name"], declared_type(spec)
        try:
            raw = (folder / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            continue
        size += len(raw)
        if size > limit:
            raise ResultsTooLargeError(
                f"results: got {size} bytes up to {name}, expected at most {limit} for all",
                hint="write large values to the artifact store or a workspace, not to a result",
            )
        text = raw.decode("utf-8", errors="replace")
        found[name] = text if kind == "string" else _parsed(text)
        if kind != "string":
            found[name] = as_value(found[name])
            if type_of(found[name]) != kind:
                raise ManifestError(
                    f"result {name}: got {type_of(found[name])}, expected {kind} as JSON"
                )
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
