"""The `touchstone` command: finds the command's module, and alone turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from touchstone.errors import INTERRUPTED, TouchstoneError
from trust_gates.visible import guard_output

_MODULES = (
    "demo", "init", "platform", "model", "watch", "report", "review", "predict", "gate", "schema",
    "validate", "packages", "run", "runs", "logs", "describe", "debug", "cancel", "rerun", "gc",
    "events", "replay", "trigger", "outbox", "hook", "doctor", "install", "onboard",
)  # fmt: skip
"""The modules of touchstone.commands, in the order of `touchstone --help`."""

_asked = {"debug": False}
"""What the command line said that still counts when the command has failed."""


def _app() -> typer.Typer:
    app = typer.Typer(
        name="touchstone",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for module in _MODULES:
        import_module(f"touchstone.commands.{module}").register(app)
    return app


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"touchstone {version('touchstone')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (TOUCHSTONE_DEBUG=1).")
    ] = False,
) -> None:
    """From a git push to a reviewed, attested and served model."""
    _asked["debug"] = debug or bool(os.environ.get("TOUCHSTONE_DEBUG"))


def main() -> None:
    """Run the command line; exit with the code documented in touchstone.errors."""
    guard_output()
    try:
        try:
            _app()(color=True)  # else what others wrote is cut where it cannot be coloured
        finally:
            _flush()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        raise SystemExit(_failed(error)) from None


def _flush() -> None:
    """Write what is left, while a disk that is full can still be told of."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        # Python would try once more at its end, and say so in its own words.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # whoever read it has seen enough
            raise


def _failed(error: Exception) -> int:
    """Say what went wrong and then what to do about it; the exit code."""
    from touchstone.commands.unexpected import ending

    if isinstance(error, BrokenPipeError):
        return TouchstoneError.exit_code  # whoever read the output has seen enough
    if _asked["debug"]:
        import traceback

        traceback.print_exception(error)
    found = ending(error)
    with suppress(OSError):
        typer.echo(f"touchstone: {found}", err=True, color=True)
        if found.hint:
            typer.echo(f"  hint: {found.hint}", err=True, color=True)
    return found.exit_code
