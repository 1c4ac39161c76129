"""`logs`: what the steps of a run printed, or print while it runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import PlatformError, UsageError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.runs.logs import Reader
    from touchstone.runs.lookup import Found

_PATIENCE = 5.0
"""Seconds that --follow goes on while nobody executes an unfinished run."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(logs)


def logs(
    run: Annotated[str, typer.Argument(help="Name of the run; the newest one by default.")] = "",
    stage: Annotated[str, typer.Argument(help="Only this stage; all by default.")] = "",
    model: Annotated[str, typer.Option(help="The newest run of this model.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print what the steps of a run printed, each line with its stage and step.

    Example: touchstone logs -f model-1a2b3c train
    """
    from touchstone.runs.logs import Reader, stages
    from touchstone.runs.lookup import find

    found = find(Home.default(), run, model=model)
    known = stages(found.place.state, found.run)
    if stage and not follow and stage not in (*known, *known.values()):
        raise UsageError(
            f"run {found.run.name} has no stage {stage!r} that was started",
            hint=f"it has {', '.join(known.values()) or 'none'}",
        )
    reader = Reader(found.place.state, found.place.logs, stage)
    try:
        _show(found, reader, follow=follow, as_json=as_json)
    finally:
        reader.close()


def _show(found: Found, reader: Reader, *, follow: bool, as_json: bool) -> None:
    from touchstone.runs.lock import is_executed
    from touchstone.runs.lookup import find

    idle = 0.0
    while True:
        # Read the state first: what a finished run printed is all in its logs by then.
        run = found.place.state.run(found.run.name) or find(Home.default(), found.run.name).run
        over = run.done or not follow
        for line in reader.read(run, last=over):
            text = f"[{line.task} : {line.step}] {line.text}"
            typer.echo(json.dumps(asdict(line)) if as_json else text)
        if over:
            return
        executed = is_executed(found.place.root, run.name)
        idle = 0.0 if executed or Home.default().platform() else idle + 0.2
        if idle > _PATIENCE:
            raise PlatformError(
                f"run {run.name} has not ended, and nothing executes it",
                hint=f"touchstone rerun --failed {run.name}; or {Home.default().life().remedy}",
            )
        time.sleep(0.2)
