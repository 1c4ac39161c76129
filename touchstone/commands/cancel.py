"""`cancel`: ask a run to end early, whichever process executes it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from touchstone.commands.completing import runs
from touchstone.commands.where import Context, Kubeconfig, Namespace, where


class Mode(StrEnum):
    """Tekton's three ways for a PipelineRun to end early."""

    CANCELLED = "Cancelled"
    RUN_FINALLY = "CancelledRunFinally"
    STOPPED = "StoppedRunFinally"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(cancel)


def cancel(
    run: Annotated[str, typer.Argument(help="Name of the run.", autocompletion=runs)],
    mode: Annotated[
        Mode, typer.Option(help="End all; end tasks but run finally; let what runs end first.")
    ] = Mode.CANCELLED,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Set the run's spec.status, as `tkn` does on a cluster; its engine then ends it.

    Example: touchstone cancel model-1a2b3c --mode CancelledRunFinally
    """
    from touchstone.errors import UsageError
    from touchstone.runs.lookup import status_word

    found = where(kubeconfig, context, namespace).find(run)
    name, kind = found.run.name, found.run.manifest["kind"]
    if kind == "TaskRun" and mode is not Mode.CANCELLED:
        raise UsageError(f"{name} is a TaskRun: got --mode {mode.value}, expected Cancelled")
    value = "TaskRunCancelled" if kind == "TaskRun" else mode.value
    if not found.place.state.set_spec_status(name, value):
        raise UsageError(f"run {name} has ended already, expected one that has not")
    status = status_word(found)
    if as_json:
        typer.echo(json.dumps({"name": name, "specStatus": value, "status": status}))
        return
    idle = status in ("Queued", "Interrupted")
    typer.echo(f"{name}: spec.status is {value}" + (", for its next engine to see" if idle else ""))
