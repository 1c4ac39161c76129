"""`runs`: every run, newest first, with what it is about and how it stands."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.home import Home

if TYPE_CHECKING:
    from touchstone.runs.lookup import Found

_STYLES = {"Succeeded": "green", "Completed": "green", "Running": "yellow", "Queued": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(runs)


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="0 means all.")] = 20,
    model: Annotated[str, typer.Option(help="Only runs of this model or repository.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List runs, newest first: those of `touchstone up` and those of `touchstone run`.

    Example: touchstone runs --limit 5
    """
    from touchstone.runs.lookup import about, all_runs

    home = Home.default()
    found = [item for item in all_runs(home) if about(item, model)]
    waits = waiting(home)
    rows = [summary(item, waits) for item in found[: limit or None]]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"no run in {home.root} yet")
        return
    _print(rows)


def waiting(home: Home) -> Mapping[str, str]:
    """Why queued runs of the platform wait, by name; empty where no platform runs."""
    from touchstone.runs.lock import is_executed
    from touchstone.runs.queue import Limits, decide
    from touchstone.runs.store import State

    platform = home.platform()
    if platform is None:
        return {}
    unfinished = State(home.root).runs(done=False)
    executing = {run.name for run in unfinished if is_executed(home.root, run.name)}
    limits = Limits(platform.get("parallel", 1), platform.get("perModel", 1))
    return decide(unfinished, executing, limits).waits


def summary(found: Found, waits: Mapping[str, str]) -> dict[str, Any]:
    """One run as `runs --json` says it; times in seconds, `duration` None before its start."""
    from touchstone.runs import lookup, record

    run = found.run
    annotations = lookup.annotations_of(run.manifest)
    status = lookup.status_word(found)
    going = not run.done and status != "Interrupted"
    seconds = record.seconds(run.status, until=time.time() if going else None)
    return {
        "name": run.name,
        "kind": run.manifest["kind"],
        "status": status,
        "done": run.done,
        "model": lookup.model_of(run.manifest),
        "branch": annotations.get(lookup.BRANCH, ""),
        "commit": lookup.commit_of(run.manifest),
        "created": datetime.fromtimestamp(run.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration": None if seconds is None else round(seconds, 1),
        "message": record.succeeded_condition(run.status)["message"],
        "waits": waits.get(run.name, "") if status in ("Queued", "Interrupted") else "",
        "home": str(found.place.root),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from trust_gates.visible import console

    table = Table(box=None, pad_edge=False)
    for title in ("run", "status", "model", "branch", "commit", "created"):
        table.add_column(title, no_wrap=title != "status", overflow="fold")
    table.add_column("s", justify="right")
    for row in rows:
        style = _STYLES.get(row["status"], "red" if row["done"] else "")
        told = f"{row['status']}: {row['waits']}" if row["waits"] else row["status"]
        seconds = "" if row["duration"] is None else f"{row['duration']:.0f}"
        middle = (row["model"], row["branch"], row["commit"], row["created"])
        table.add_row(row["name"], Text(told, style=style), *middle, seconds)
    screen = console()
    # Without a terminal a line is as long as it has to be, so that other programs can cut it.
    screen.print(table, width=None if screen.is_terminal else 1000, crop=False)
