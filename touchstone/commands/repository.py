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
    gitops_url: str = "",
    show: Sequence[Path] = (),
    packages: Path | None = None,
    refused: Sequence[tuple[str, str]] = (),
    output: Path | None = None,
) -> Checked:
    """Check a model repository, and hold it to the floors; see `checked.check`.

    Args:
        gitops_url: where no floors are given, those of the environments that it names are read
            from there.

    Raises:
        ManifestError: there is no YAML to check, or it names an environment that is not there.
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
    if found.pipeline is None:
        return found
    if not floors and gitops_url:
        floors = held.read(gitops_url, found.pipeline.spec.promote.environments)
    if floors:
        less = held.problems(floors, found.pipeline.spec.gates, found.facts)
        found.problems[:0] = [Finding(location=found.file, message=problem) for problem in less]
    return found
