"""What may stand at this place of a command line? Asked by the shell; where in doubt, nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

_MOST = 50
"""Runs that are offered, the newest."""


def _offered(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Those that begin as typed; an error would only disturb the line that is being typed."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in known() if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


@_offered
def runs() -> Iterable[str]:
    """The newest runs."""
    from touchstone.home import Home
    from touchstone.runs.lookup import all_runs

    return [found.run.name for found in all_runs(Home.default())[:_MOST]]


@_offered
def models() -> Iterable[str]:
    """The models that runs are about, and those that were ever released."""
    from touchstone.git import git
    from touchstone.home import Home
    from touchstone.runs.lookup import all_runs, model_of

    home = Home.default()
    found = {model_of(item.run.manifest) for item in all_runs(home)}
    if home.gitops_repository.is_dir():
        listed = git("ls-tree", "-r", "--name-only", "main", cwd=home.gitops_repository)
        paths = [path.split("/") for path in listed.splitlines()]
        found |= {path[2] for path in paths if path[0] == "environments" and len(path) > 3}
    return sorted(found - {""})


RunName = Annotated[
    str,
    typer.Argument(
        help="Name of the run, or what begins it or its commit; the newest one by default.",
        autocompletion=runs,
    ),
]
ModelName = Annotated[str, typer.Argument(help="Name of the model.", autocompletion=models)]
