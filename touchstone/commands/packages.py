"""`packages`: what a model repository needs besides what Touchstone has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="packages", help="Packages that a model repository needs.")
    group.callback()(_packages)
    group.command()(lock)


def _packages() -> None:
    """Packages that a model repository needs besides those that Touchstone has."""


def lock(
    package: Annotated[
        list[str] | None,
        typer.Argument(help="What to add, such as lightgbm or 'lightgbm>=4'; may be repeated."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="The model repository.")] = Path(),
    index: Annotated[
        str,
        typer.Option(
            help="An index in place of PyPI, or a folder of wheels.",
            envvar=["TOUCHSTONE_INDEX", "PIP_INDEX_URL"],
            show_default=False,
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Write requirements.txt: every package by version and by the hashes of its wheels.

    What the file names already stays in it, with what that needs. Packages that Touchstone has are
    left out: every model is run with those. Nothing is installed.

    Example: touchstone packages lock lightgbm
    """
    from touchstone import beneath
    from touchstone.contract.requirements import FILE_NAME
    from touchstone.driver import wheels
    from touchstone.driver.lock import lock as locked

    source = wheels.checked(index) if index else wheels.PYPI
    found = locked(folder, package or (), source=source)
    beneath.write(folder.resolve(), FILE_NAME, found.text.encode())
    if as_json:
        typer.echo(json.dumps({"packages": found.versions, "own": found.own}))
        return
    for name in found.own:
        typer.echo(f"Touchstone has {name}: no line is needed")
    for name, version in sorted(found.versions.items()):
        typer.echo(f"{name}=={version}")
    typer.echo(f"wrote {folder / FILE_NAME}; commit it and push")
