"""`replay`: an event again, or only why its triggers fired or not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from touchstone.errors import UsageError
from touchstone.home import Home


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(replay)


def replay(
    event: Annotated[str, typer.Argument(help="Number from `touchstone events`, or a saved body.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value', for a saved body.")
    ] = None,
    headers: Annotated[
        Path | None, typer.Option(help="File of 'Name: value' lines, for a saved body.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Explain, start nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Explain step by step what each trigger makes of an event, and process it again.

    Signatures are checked again. The replay is a new event; what it starts has new names.

    Example: touchstone replay 12 --dry-run
    """
    from touchstone.commands.explained import read_body, read_headers, show
    from touchstone.events import credentials
    from touchstone.events.identity import source_of
    from touchstone.platform.embedded import listener_of
    from touchstone.runs.store import Event, State

    home = Home.default()
    state = State(home.root)
    listener = listener_of(home, state)
    if event.isdecimal() and not Path(event).exists():
        found = state.events(event=int(event))
        if not found:
            raise UsageError(f"got no event {event}", hint="`touchstone events` lists them")
        original = found[0].event
    else:
        if not Path(event).is_file():
            raise UsageError(
                f"got {event!r}, expected the number of an event, or a file with a saved body",
                hint="`touchstone events` lists them",
            )
        body = read_body(Path(event))
        given = read_headers(headers, header or [])
        known = {secret for item in listener.triggers.triggers for secret in item.secrets_used}
        sealed = credentials.seal(given, known, home.secret)
        original = Event(id=0, source=source_of(given), event_id=event, headers=sealed, body=body)
    again = Event(
        id=original.id,
        source=original.source,
        event_id=f"{original.event_id} replayed {time.time_ns()}",
        headers=original.headers,
        body=original.body,
    )
    try:
        explanations = listener.explain(again)
    except ValueError as error:
        raise UsageError(f"{event}: {error}") from None
    show(explanations, as_json=as_json, objects=False)
    if dry_run:
        return
    state.add_event(
        source=again.source, event_id=again.event_id, headers=again.headers, body=again.body
    )
    if home.platform() is None:
        typer.echo(f"stored; {home.life()}: {home.life().remedy}", err=True)
