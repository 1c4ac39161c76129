"""`logs`: what the steps of a run printed, or print while it runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.commands.completing import RunName
from touchstone.commands.where import Context, Kubeconfig, Namespace, where
from touchstone.errors import UsageError

if TYPE_CHECKING:
    from touchstone.commands.where import Where
    from touchstone.runs.logs import Reader
    from touchstone.runs.lookup import Found, Kept


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(logs)


def logs(
    run: RunName = "",
    stage: Annotated[str, typer.Argument(help="Only this stage; all by default.")] = "",
    model: Annotated[str, typer.Option(help="The newest run of this model.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ended.")] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print what the steps of a run printed, each line with its stage and step.

    Example: touchstone logs -f model-1a2b3c train
    """
    from touchstone.runs.logs import Reader, stages

    place = where(kubeconfig, context, namespace)
    found = place.find(run, model=model)
    known = stages(found.place.state, found.run)
    if stage and not follow and stage not in (*known, *known.values()):
        raise UsageError(
            f"run {found.run.name} has no stage {stage!r} that was started",
            hint=f"it has {', '.join(known.values()) or 'none'}",
        )
    if follow:
        place.follow(found, stage=stage)
    else:
        place.bring(found, stage=stage)
    reader = Reader(found.place.state, found.place.logs, stage)
    try:
        _show(place, found, reader, follow=follow, as_json=as_json)
    finally:
        reader.close()


def _show(place: Where, found: Found[Kept], reader: Reader, *, follow: bool, as_json: bool) -> None:
    from touchstone.runs.lookup import Found

    name = found.run.name
    while True:
        # Read the state first: what a finished run printed is all in its logs by then.
        run = found.place.state.run(name) or place.find(name).run
        over = run.done or not follow
        for line in reader.read(run, last=over):
            text = f"[{line.task} : {line.step}] {line.text}"
            typer.echo(json.dumps(asdict(line)) if as_json else text)
        if over:
            return
        place.ask_on(Found(found.place, run))
        time.sleep(0.2)
