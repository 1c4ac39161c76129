"""Everything that is wrong with a model repository: by itself, and by the floors it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from touchstone.contract import checked
from touchstone.contract.checked import Checked, Finding
from touchstone.delivery import floors as held
from touchstone.delivery.floors import Floors


def examine(
    path: Path,
    *,
    shown: str = "",
    code: Path | None = None,
    uri: str = "",
    floors: Floors | None = None,
    show: Sequence[Path] = (),
    packages: Path | None = None,
    refused: Sequence[tuple[str, str]] = (),
    output: Path | None = None,
) -> Checked:
    """Check a model repository, and hold it to the floors; see `checked.check`.

    Raises:
        ManifestError: there is no YAML to check.
    """
    found = checked.check(
        path,
        shown=shown,
        code=code,
        uri=uri,
        show=show,
        packages=packages,
        refused=refused,
        output=output,
    )
    if found.pipeline is not None and floors:
        less = held.problems(floors, found.pipeline.spec.gates, found.facts)
        found.problems[:0] = [Finding(location=found.file, message=problem) for problem in less]
    return found
