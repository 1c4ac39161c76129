"""`watch`: follow a run to its end, live on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from touchstone.errors import DeadlineError, ModelRefusedError
from touchstone.home import Home

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from touchstone.runs.view import View

_MARKS = {"running": "…", "succeeded": "✓", "failed": "✗", "refused": "⛔", "skipped": "-"}
_STYLES = {"succeeded": "green", "failed": "red", "refused": "red", "skipped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(watch)


def watch(
    run: Annotated[str, typer.Argument(help="Name of the run; the newest one by default.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for its end.")] = 3600,
    as_json: Annotated[bool, typer.Option("--json", help="Print the end state only.")] = False,
) -> None:
    """Follow a run to its end; exit 0 when it succeeded, 5 when a gate refused the model.

    Example: touchstone watch model-1a2b3c
    """
    final = follow(Home.default(), run, timeout=timeout, quiet=as_json)
    if as_json:
        typer.echo(json.dumps({**asdict(final), "exitCode": final.exit_code}, indent=2))
    elif final.exit_code == ModelRefusedError.exit_code:
        typer.echo(f"touchstone report {final.run} shows why")
    raise typer.Exit(final.exit_code)


def follow(home: Home, name: str, *, timeout: float, quiet: bool = False) -> View:
    """Show the run until it ends; return how it ended.

    Raises:
        UsageError: there is no run of that name.
        DeadlineError: it had not ended after `timeout` seconds.
    """
    from trust_gates.visible import console

    screen = console(quiet=quiet)
    if screen.is_terminal and not quiet:
        return _live(home, name, timeout, screen)
    return _plain(home, name, timeout, screen)


def _views(home: Home, name: str, timeout: float) -> Iterator[View]:
    from touchstone.runs.lookup import find
    from touchstone.runs.view import view

    found = find(home, name)
    place, run = found.place, found.run
    deadline = time.monotonic() + timeout
    while True:
        yield view(place.state, run, place.logs)
        if run.done:
            return
        if time.monotonic() > deadline:
            raise DeadlineError(f"run {run.name} had not ended after {timeout:g} s")
        time.sleep(0.2)
        run = place.state.run(run.name) or run  # gc may have removed it meanwhile


def _live(home: Home, name: str, timeout: float, screen: Console) -> View:
    from rich.live import Live

    final = None
    with Live(console=screen, refresh_per_second=5) as live:
        for final in _views(home, name, timeout):
            live.update(_table(final))
    assert final is not None  # noqa: S101  _views yields at least once or raises
    return final


def _plain(home: Home, name: str, timeout: float, screen: Console) -> View:
    told: dict[str, str] = {}
    final = None
    for final in _views(home, name, timeout):
        for stage in final.stages:
            if told.get(stage.name) == stage.state:
                continue
            told[stage.name] = stage.state
            ended = "" if stage.state in ("running", "skipped") else f" {stage.seconds:.0f} s"
            detail = "" if stage.state == "running" else f"  {stage.detail}"
            screen.print(f"{stage.name}: {stage.state}{ended}{detail}", soft_wrap=True)
    assert final is not None  # noqa: S101  _views yields at least once or raises
    screen.print(f"{final.run}: {final.reason}  {final.message}", soft_wrap=True)
    return final


def _table(view: View) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{view.run}: {view.reason}", title_justify="left", box=None)
    for column, justify in (("", "left"), ("stage", "left"), ("s", "right"), ("", "left")):
        table.add_column(column, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for stage in view.stages:
        style = _STYLES.get(stage.state, "")
        seconds = "" if stage.state == "skipped" else f"{stage.seconds:.0f}"
        table.add_row(
            Text(_MARKS[stage.state], style=style), stage.name, seconds, Text(stage.detail)
        )
    return table
