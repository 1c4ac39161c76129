"""Everything that is wrong with a model repository: by itself, and by the floors it is held to."""

from __future__ import annotations

from touchstone.contract.checked import Checked, Finding
from touchstone.delivery import floors as held
from touchstone.delivery.floors import Floors


def held_to(found: Checked, floors: Floors | None, *, gitops_url: str = "") -> Checked:
    """What `checked.check` found of a model repository, with all in which it asks for less than
    the floors.

    Args:
        gitops_url: where no floors are given, those of the environments that it names are read
            from there.

    Raises:
        ManifestError: it names an environment that is not there.
    """
    if found.pipeline is None:
        return found
    if not floors and gitops_url:
        floors = held.read(gitops_url, found.pipeline.spec.promote.environments)
    if floors:
        less = held.problems(floors, found.pipeline.spec.gates, found.facts)
        found.problems[:0] = [Finding(location=found.file, message=problem) for problem in less]
    return found
