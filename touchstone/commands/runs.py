"""`runs`: every run, newest first, with what it is about and how it stands."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchstone.commands.completing import models
from touchstone.commands.where import Context, Kubeconfig, Namespace, where

if TYPE_CHECKING:
    from touchstone.runs.lookup import Found, Kept

_WIDE = 120
"""From this width on times are shown in full."""

_STYLES = {"Succeeded": "green", "Completed": "green", "Running": "yellow", "Queued": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(runs)


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="0 means all.")] = 20,
    model: Annotated[
        str, typer.Option(help="Only runs of this model or repository.", autocompletion=models)
    ] = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List runs, newest first: those of `touchstone up` and those of `touchstone run`.

    Times are UTC; `cached` says how many of a run's TaskRuns have another's results.

    Example: touchstone runs --limit 5
    """
    from touchstone.runs.lookup import about

    place = where(kubeconfig, context, namespace)
    found = [item for item in place.all_runs() if about(item, model)]
    waits = place.waits()
    rows = [summary(item, waits) for item in found[: limit or None]]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(
            f"no run of {model} in {place.title}" if model else f"no run in {place.title} yet"
        )
        return
    _print(rows)


def summary(found: Found[Kept], waits: Mapping[str, str]) -> dict[str, Any]:
    """One run as `runs --json` says it; times in seconds, `duration` None before its start."""
    from touchstone.runs import lookup, record

    run = found.run
    annotations = lookup.annotations_of(run.manifest)
    status = lookup.status_word(found)
    cached, taskruns = found.place.state.cached_of(run.name)
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
        "cached": cached,
        "taskRuns": taskruns,
        "message": record.succeeded_condition(run.status)["message"],
        "waits": waits.get(run.name, "") if status in ("Queued", "Interrupted") else "",
        "home": found.place.title,
    }


_TITLES = ("run", "status", "model", "branch", "commit", "created", "cached", "s")
_NAMES = (0, 2, 3)
"""The columns that give way where the screen is narrow: run, model and branch."""


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.cells import set_cell_size
    from rich.text import Text

    from touchstone.commands.fitted import folded, middle, widths
    from trust_gates.visible import console, on_terminal, one_line

    screen = console()
    # Without a terminal a line is as long as it has to be, so that other programs can cut it.
    room = screen.width if on_terminal() else sys.maxsize
    lines = [_TITLES, *(tuple(map(one_line, _cells(row, short=room < _WIDE))) for row in rows)]
    found = widths(lines, _NAMES, room)
    for row, cells in zip([None, *rows], lines, strict=True):
        parts = []
        for index, (cell, width) in enumerate(zip(cells, found, strict=True)):
            text = middle(cell, width)
            last = index == len(cells) - 1
            text = text.rjust(width) if last else set_cell_size(text, width)
            style = "bold" if row is None else _style(row) if index == 1 else ""
            parts += [Text(text, style=style)] if width else []
        waits = row["waits"] if row is not None else ""
        if waits and not on_terminal():
            parts.append(Text(one_line(waits)))
        screen.print(Text("  ").join(parts), soft_wrap=True)
        for line in folded(waits, screen, room - 2) if waits and on_terminal() else ():
            screen.print(Text("  ") + line, soft_wrap=True)


def _cells(row: dict[str, Any], *, short: bool) -> tuple[str, ...]:
    created = row["created"][5:16].replace("T", " ") if short else row["created"]
    cached = f"{row['cached']}/{row['taskRuns']}" if row["cached"] else ""
    seconds = "" if row["duration"] is None else f"{row['duration']:.0f}"
    about = (row["name"], row["status"], row["model"], row["branch"], row["commit"])
    return (*about, created, cached, seconds)


def _style(row: dict[str, Any]) -> str:
    return _STYLES.get(row["status"], "red" if row["done"] else "")
