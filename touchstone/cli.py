"""The `touchstone` command: finds the command's module, and alone turns errors into exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from touchstone.errors import INTERRUPTED, TouchstoneError

_COMMANDS: dict[str, str] = {}
"""Command name to the module under touchstone.commands that registers it."""


def _app(argv: list[str]) -> typer.Typer:
    app = typer.Typer(
        name="touchstone",
        help="From a git push to a reviewed, attested and served model.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def root() -> None:
        """Keep the group form also while there is a single command."""

    for module in dict.fromkeys(_COMMANDS.values()):
        import_module(module).register(app)
    return app


def main() -> None:
    """Run the command line; exit with the code documented in touchstone.errors."""
    try:
        _app(sys.argv)(standalone_mode=True)
    except TouchstoneError as error:
        typer.echo(f"touchstone: {error}", err=True)
        if error.hint:
            typer.echo(f"  hint: {error.hint}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
