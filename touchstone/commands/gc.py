"""`gc`: remove what old runs left, and artifacts that nothing refers to any more."""

from __future__ import annotations

import json
import re
import time
from typing import Annotated

import typer

from touchstone.errors import UsageError
from touchstone.home import Home

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(gc)


def gc(
    keep: Annotated[
        int | None, typer.Option(min=0, help="Keep this many ended runs, the newest.")
    ] = None,
    newer_than: Annotated[str, typer.Option(help="Keep runs newer than this: 7d, 12h, 30m.")] = "",
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Artifacts nothing refers to as well.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Remove ended runs with their logs and folders; with --artifacts, unreferenced artifacts too.

    A run that has not ended stays, and so does one whose CloudEvents wait for their sink; an
    interrupted run of `touchstone run` counts as ended. Without --keep and --newer-than no run is
    removed.

    Example: touchstone gc --keep 20 --newer-than 7d --artifacts --dry-run
    """
    from touchstone.platform import retention

    home = Home.default()
    if keep is None and not newer_than and not artifacts:
        raise UsageError(
            "got nothing to remove, expected --keep, --newer-than or --artifacts",
            hint="touchstone gc --keep 20 --dry-run",
        )
    gone = []
    if keep is not None or newer_than:
        age = _seconds(newer_than) if newer_than else None
        gone = retention.removable(home, keep=keep, newer_than=age, now=time.time())
    if not dry_run:
        gone = retention.per_run(gone, retention.remove)
    blobs = {}
    if artifacts:
        blobs = retention.unreferenced(home, gone) if dry_run else retention.sweep(home)
    names, size = [found.run.name for found in gone], sum(blobs.values())
    if as_json:
        document = {"dryRun": dry_run, "runs": names, "artifacts": len(blobs), "bytes": size}
        typer.echo(json.dumps(document, indent=2))
        return
    word = "would remove" if dry_run else "removed"
    for name in names:
        typer.echo(f"{word} run {name}")
    if held := retention.held(home):
        typer.echo(
            f"{held} runs stay until their CloudEvents are delivered: touchstone outbox list"
        )
    typer.echo(f"{word} {len(names)} runs and {len(blobs)} artifacts ({size / 1e6:.1f} MB)")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)([dhms])", text)
    if not match:
        raise UsageError(f"--newer-than: got {text!r}, expected a time such as 7d, 12h or 30m")
    return int(match[1]) * _UNITS[match[2]]
