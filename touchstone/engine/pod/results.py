"""What did a task or step leave in its result files, and does it fit where Tekton puts it?

A step's container says what it left in its termination message, JSON of at most 4096 bytes, and
with it when the step began. Every step tells all results of its Task that are there by then. Facts
from pkg/entrypoint/entrypointer.go and pkg/termination/write.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.engine.language.values import as_value, declared_type, type_of
from touchstone.errors import ManifestError

_BEGAN = '{"key":"StartedAt","value":"2006-01-02T15:04:05.000Z","type":3}'
_EXIT_CODE = '{"key":"ExitCode","value":"%d","type":3}'
_ENTRY = '{"key":%s,"value":%s,"type":1}'
_ESCAPED = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}
"""What encoding/json escapes beyond JSON's own."""


def raw_results(
    specs: Sequence[Mapping[str, Any]], folder: Path, *, limit: int
) -> dict[str, bytes]:
    """The declared results found as files in `folder`, of each at most `limit` + 1 bytes.

    Raises ManifestError for a result that is no regular file.
    """
    found: dict[str, bytes] = {}
    for spec in specs:
        try:
            found[spec["name"]] = beneath.read(folder, spec["name"], limit=limit)
        except FileNotFoundError:
            continue
        except NotPlainError as error:
            raise ManifestError(f'invalid result "{spec["name"]}": {error.problem}') from None
    return found


def message_size(left: Iterable[tuple[str, bytes]], *, exit_code: int | None = None) -> int:
    """Bytes of the termination message of a step that left these, each with its name.

    `exit_code` is told where the step failed and the Task goes on.
    """
    entries = [_BEGAN] if exit_code is None else [_BEGAN, _EXIT_CODE % exit_code]
    entries += [_ENTRY % (_quoted(name.encode()), _quoted(raw)) for name, raw in left]
    return len(f"[{','.join(entries)}]".encode())


def _quoted(raw: bytes) -> str:
    """A string as encoding/json writes it: a byte that is no UTF-8 takes six."""
    text = raw.decode("utf-8", "surrogateescape")
    plain = re.sub("[\udc80-\udcff]", "\x00", text)  # as long as the escape of U+FFFD
    return json.dumps(plain, ensure_ascii=False).translate(_ESCAPED)


def typed(specs: Sequence[Mapping[str, Any]], raw: Mapping[str, bytes]) -> dict[str, Any]:
    """The values of declared results.

    Raises ManifestError, in Tekton's words, for results of the wrong type and objects without all
    their keys.
    """
    found: dict[str, Any] = {}
    for spec in specs:
        if spec["name"] in raw:
            text = raw[spec["name"]].decode("utf-8", errors="replace")
            found[spec["name"]] = (
                text if declared_type(spec) == "string" else as_value(_parsed(text))
            )
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
