"""What did a task or step leave in its result files?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.language.values import as_value, declared_type, type_of
from touchstone.errors import ManifestError


class ResultsTooLargeError(ManifestError):
    """All results of a TaskRun together exceed the limit; the message is Tekton's."""


def read_results(specs: Sequence[Mapping[str, Any]], folder: Path, *, limit: int) -> dict[str, Any]:
    """The declared results found as files in `folder`, together at most `limit` bytes.

    Raises ManifestError for a result that is no regular file and, in Tekton's words, for results
    of the wrong type and objects without all their keys; ResultsTooLargeError beyond `limit`.
    """
    found: dict[str, Any] = {}
    size = 0
    for spec in specs:
        name, kind = spec["name"], declared_type(spec)
        try:
            raw = beneath.read(folder, name, limit=limit)
        except FileNotFoundError:
            continue
        except NotPlainError as error:
            raise ManifestError(f'invalid result "{name}": {error.problem}') from None
        size += len(raw)
        if size > limit:
            raise ResultsTooLargeError(
                f'invalid result "{name}": results size exceeds configured limit of {limit}',
                hint="write large values to the artifact store or a workspace, not to a result",
            )
        text = raw.decode("utf-8", errors="replace")
        found[name] = text if kind == "string" else as_value(_parsed(text))
    _check_types(specs, found)
    return found


def _check_types(specs: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    """Facts from validateTaskRunResults in pkg/reconciler/taskrun/validate_taskrun.go."""
    declared = {spec["name"]: spec for spec in specs}
    wrong = [
        f' "{name}": task result is expected to be "{declared_type(declared[name])}" type but was'
        f' initialized to a different type "{type_of(value)}"'
        for name, value in sorted(found.items())
        if type_of(value) != declared_type(declared[name])
    ]
    if wrong:
        raise ManifestError(
            "Provided results don't match declared results; may be invalid JSON or"
            f" missing result declaration: {','.join(wrong)}"
        )
    lacking = {
        name: [key for key in declared[name].get("properties", {}) if key not in value]
        for name, value in sorted(found.items())
    }
    shown = " ".join(f"{name}:[{' '.join(keys)}]" for name, keys in lacking.items() if keys)
    if shown:
        raise ManifestError(
            "missing keys for these results which are required in TaskResult's"
            f" properties map[{shown}]"
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
