"""How `replay` and `trigger` show why a trigger fired, and how they read a saved request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from touchstone.errors import UsageError

if TYPE_CHECKING:
    from touchstone.events.evaluate import Explanation


def show(found: Sequence[Explanation], *, as_json: bool, objects: bool) -> None:
    """Print every trigger's steps; with `objects`, what it creates in full."""
    if as_json:
        typer.echo(json.dumps([document(item) for item in found], indent=2))
        return
    for item in found:
        group = f" (group {item.group})" if item.group else ""
        typer.echo(f"{item.trigger}{group}: {'not fired' if item.reason else 'fired'}")
        for step in item.steps:
            typer.echo(f"  {'ok  ' if step.passed else 'STOP'} {step.what}")
            for note in step.notes:
                typer.echo(f"         {note}")
        if item.reason:
            typer.echo(f"  because {item.reason}")
        for made in item.objects if objects else ():
            typer.echo(json.dumps(made, indent=2))


def document(item: Explanation) -> dict[str, Any]:
    """An explanation for machines."""
    return {
        "trigger": item.trigger,
        "group": item.group,
        "fired": not item.reason,
        "reason": item.reason,
        "steps": [
            {"what": step.what, "passed": step.passed, "notes": list(step.notes)}
            for step in item.steps
        ],
        "objects": list(item.objects),
    }


def read_headers(file: Path | None, given: Sequence[str]) -> dict[str, str]:
    """`Name: value` lines of a file and of the command line, as touchstone.events.headers has them.

    Raises:
        UsageError: the file cannot be read, or a line has no colon.
    """
    from touchstone.events.headers import gathered

    lines = [*_read(file).decode("utf-8", "replace").splitlines()] if file else []
    pairs = []
    for line in (*lines, *given):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise UsageError(f"got the header {line!r}, expected 'Name: value'")
        pairs.append((name.strip(), value.strip()))
    return {"content-type": "application/json"} | gathered(pairs)


def read_body(file: Path) -> bytes:
    """The saved body, byte for byte. Raises UsageError where it cannot be read."""
    return _read(file)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"got {error.strerror} for {file}, expected a saved request") from None


def signed(headers: Mapping[str, str], body: bytes, secret: bytes) -> dict[str, str]:
    """The headers with a signature of the body, for GitHub, Forgejo, Gitea and Bitbucket."""
    from touchstone.events import signature

    value = signature.sign(body, secret)
    return {**headers, signature.HEADER: value, "x-hub-signature": value}
