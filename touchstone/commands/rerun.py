"""`rerun`: repeat a run, whole or only what failed and what follows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import RunName
from touchstone.commands.run import Stop, StopBefore
from touchstone.commands.where import Context, Here, Kubeconfig, Namespace, where
from touchstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from touchstone.commands.where import There
    from touchstone.runs.lookup import Found


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(rerun)


def rerun(
    run: RunName = "",
    failed: Annotated[
        bool, typer.Option("--failed", help="Take over what finished well; run the rest.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every stage, whatever the cache holds.")
    ] = False,
    stop: Stop = False,
    stop_before: StopBefore = None,
    parallel: Annotated[int, typer.Option(min=1, help="TaskRuns at the same time.")] = 2,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Repeat a run under a new name, also one that was cut short by a crash.

    A run of `touchstone run` is executed here and now, with its YAML files as they are today; one
    of the platform is queued for it; one of a cluster is created there.

    Example: touchstone rerun --failed model-1a2b3c
    """
    from touchstone.commands.run import DEFINITIONS, breakpoints, execute
    from touchstone.requests.rerun import repeat
    from touchstone.runs.lock import is_executed
    from touchstone.runs.lookup import NO_CACHE, annotations_of, local

    place = where(kubeconfig, context, namespace)
    found = place.find(run)
    if not isinstance(place, Here):
        if failed or no_cache or stop or stop_before:
            raise UsageError(
                "got an option of embedded runs, expected none of them for a run of a cluster",
                hint="Tekton takes over no finished TaskRun: leave it out to repeat the whole run",
            )
        _repeat(place, found, as_json=as_json)
        return
    home = place.home
    if failed and is_executed(found.place.root, found.run.name):
        raise PlatformError(
            f"run {found.run.name} is being executed: what fails in it is not known yet",
            hint=f"touchstone cancel {found.run.name}, or wait for it",
        )
    files = [
        Path(name) for name in json.loads(annotations_of(found.run.manifest).get(DEFINITIONS, "[]"))
    ]
    here = found.place.root == local(home)
    if missing := [path for path in files if not path.exists()]:
        raise PlatformError(
            f"got no {missing[0]}, expected the YAML that run {found.run.name} was made from"
        )
    extra = {NO_CACHE: "true"} if no_cache else {}
    extra |= breakpoints(stop, stop_before)
    name = repeat(found, failed=failed, extra=extra)
    if here:
        execute(
            found.place.state,
            found.place.root,
            [name],
            definitions=files,
            parallel=parallel,
            as_json=as_json,
        )
    elif as_json:
        typer.echo(json.dumps({"name": name, "rerunOf": found.run.name}))
    else:
        waits = "" if home.platform() else f"; {home.life()}: {home.life().remedy}"
        typer.echo(f"{name}: queued{waits}")


def _repeat(place: There, found: Found[Any], *, as_json: bool) -> None:
    from touchstone.requests.cluster import repeat

    name = repeat(place.place.state.cluster, found.run.manifest)
    if as_json:
        typer.echo(json.dumps({"name": name, "rerunOf": found.run.name}))
    else:
        typer.echo(f"{name}: created in {place.title}")
