"""`outbox`: the CloudEvents of runs that wait for their sink, and those it did not take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import UsageError
from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.runs.store import State

_Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def register(app: typer.Typer) -> None:
    """Add the group `outbox` to `app`."""
    group = typer.Typer(
        help="CloudEvents of runs on their way to the sink of `touchstone up --sink URL`.",
        no_args_is_help=True,
    )
    group.command("list")(show)
    group.command("retry")(revive)
    group.command("drop")(drop)
    app.add_typer(group, name="outbox")


def show(
    everything: Annotated[bool, typer.Option("--all", help="Those sent as well.")] = False,
    as_json: _Json = False,
) -> None:
    """List what waits and what is dead, oldest first.

    Example: touchstone outbox list --json
    """
    kinds = () if everything else ("pending", "dead")
    found = _state().outbox(*kinds)
    if as_json:
        rows = [
            {
                "id": entry.id,
                "state": entry.state,
                "run": entry.run,
                "type": entry.type,
                "event": entry.attributes["id"],
                "subject": entry.attributes["subject"],
                "tries": entry.tries,
                "error": entry.error,
            }
            for entry in found
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for entry in found:
        subject, problem = entry.attributes["subject"], f"  {entry.error}" if entry.error else ""
        typer.echo(f"{entry.id}  {entry.state}  {entry.type}  {subject}  {entry.tries}{problem}")
    if not found:
        typer.echo("nothing waits, nothing is dead")


def revive(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids from `outbox list`; all.")] = None,
    as_json: _Json = False,
) -> None:
    """Let dead letters be sent again.

    Example: touchstone outbox retry 17
    """
    from touchstone.runs import outbox

    count = outbox.retry(_state(), ids or ())
    if ids and count < len(ids):
        raise UsageError(
            f"got {len(ids)} ids, expected dead letters; {count} were and are sent again",
            hint="touchstone outbox list shows them",
        )
    typer.echo(json.dumps({"retried": count}) if as_json else f"{count} are sent again")


def drop(as_json: _Json = False) -> None:
    """Give up what waits, as for a sink that is no more; `retry` revives it.

    Example: touchstone outbox drop
    """
    from touchstone.runs import outbox

    count = outbox.drop(_state())
    typer.echo(json.dumps({"dropped": count}) if as_json else f"{count} are dead letters now")


def _state() -> State:
    from touchstone.runs.store import State

    home = Home.default()
    home.make()
    return State(home.root)
