"""`events`: what came in, and what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.runs.store import Received


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(events)


def events(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    model: Annotated[str, typer.Option(help="Only those of this model's repository.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with the bodies.")] = False,
) -> None:
    """List the events that the platform stored, each with its outcome trigger by trigger.

    Example: touchstone events --limit 5
    """
    from touchstone.runs.store import State

    home = Home.default()
    found = State(home.root).events(limit=limit, repository=model) if home.root.exists() else []
    if as_json:
        typer.echo(json.dumps([_document(item) for item in found], indent=2))
        return
    if not found:
        typer.echo("no event yet; docs/reference/events.md says how to connect a forge")
    for item in found:
        _print(item)


def _print(item: Received) -> None:
    from touchstone.events.headers import first
    from touchstone.events.identity import event_type

    when = datetime.fromtimestamp(item.received).strftime("%Y-%m-%d %H:%M:%S")
    kind = event_type(item.event.headers) or first(item.event.headers, "ce-type")
    typer.echo(f"{item.event.id:>5}  {when}  {item.event.source}  {kind}")
    typer.echo(f"       {'waits to be processed' if item.processed is None else item.summary}")
    for sentence in item.outcome.split("; ") if item.outcome else []:
        typer.echo(f"         {sentence}")


def _document(item: Received) -> dict[str, Any]:
    from touchstone.events.credentials import shown
    from touchstone.events.headers import first
    from touchstone.events.identity import delivery_of, event_type

    headers = item.event.headers
    return {
        "id": item.event.id,
        "source": item.event.source,
        "eventID": item.event.event_id,
        "type": event_type(headers) or first(headers, "ce-type"),
        "delivery": delivery_of(headers),
        "received": _time(item.received),
        "processed": None if item.processed is None else _time(item.processed),
        "summary": item.summary,
        "outcome": item.outcome,
        "runs": list(item.runs),
        "headers": shown(headers),
        "body": item.event.body.decode("utf-8", "replace"),
    }


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
