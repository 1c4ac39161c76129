"""`events`: what came in, and what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.where import Context, Here, Kubeconfig, Namespace, where

if TYPE_CHECKING:
    from touchstone.commands.where import There
    from touchstone.runs.store import Received


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(events)


def events(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    model: Annotated[str, typer.Option(help="Only those of this model's repository.")] = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with the bodies.")] = False,
) -> None:
    """List the events that the platform stored, each with its outcome trigger by trigger.

    Of a cluster, those that started runs: an EventListener keeps nothing of the others.

    Example: touchstone events --limit 5
    """
    from touchstone.runs.store import State

    place = where(kubeconfig, context, namespace)
    if not isinstance(place, Here):
        _of_cluster(place, limit=limit, model=model, as_json=as_json)
        return
    home = place.home
    found = State(home.root).events(limit=limit, repository=model) if home.root.exists() else []
    if as_json:
        typer.echo(json.dumps([_document(item) for item in found], indent=2))
        return
    if not found:
        typer.echo("no event yet; docs/reference/events.md says how to connect a forge")
    for item in found:
        _print(item)


def _of_cluster(place: There, *, limit: int, model: str, as_json: bool) -> None:
    """The events that the runs of a cluster name, with the runs that each started."""
    from touchstone.cluster.records import events_of
    from touchstone.runs.lookup import about

    found: dict[str, dict[str, Any]] = {}
    for item in place.all_runs():
        if about(item, model):
            for event in events_of(item.run.manifest):
                row = found.setdefault(event["id"], {**event, "runs": []})
                row["received"] = _time(item.run.created)
                row["runs"].append(item.run.name)
    rows = list(found.values())[:limit]
    for row in rows:
        row["runs"].reverse()
        row["summary"] = f"started {', '.join(row['runs'])}"
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"no run in {place.title} says which event started it")
    for row in rows:
        when = row["received"][:19].replace("T", " ")
        typer.echo(f"{row['id']}  {when}  {row.get('eventlistener', '')}  {row.get('trigger', '')}")
        typer.echo(f"       {row['summary']}")


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
