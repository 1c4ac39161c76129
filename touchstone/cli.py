"""The `touchstone` command: finds the command's module, and alone turns errors into exit codes."""

from __future__ import annotations

from importlib import import_module

import typer

from touchstone.errors import INTERRUPTED, PlatformError, TouchstoneError
from trust_gates.visible import guard_output

_MODULES = (
    "demo", "init", "platform", "watch", "report", "review", "predict", "gate", "schema",
    "validate", "run", "runs", "logs", "describe", "debug", "cancel", "rerun", "gc", "events",
    "replay", "trigger", "outbox", "hook",
)  # fmt: skip
"""The modules of touchstone.commands, in the order of `touchstone --help`."""


def _app() -> typer.Typer:
    app = typer.Typer(
        name="touchstone",
        help="From a git push to a reviewed, attested and served model.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    for module in _MODULES:
        import_module(f"touchstone.commands.{module}").register(app)
    return app


def main() -> None:
    """Run the command line; exit with the code documented in touchstone.errors."""
    guard_output()
    try:
        _app()(color=True)  # else what others wrote is cut where it cannot be coloured
    except TouchstoneError as error:
        typer.echo(f"touchstone: {error}", err=True, color=True)
        if error.hint:
            typer.echo(f"  hint: {error.hint}", err=True, color=True)
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        from touchstone.runs import faults

        if not faults.passing(error):
            raise
        typer.echo(f"touchstone: {faults.words(error)}", err=True, color=True)
        typer.echo("  hint: what is missing may be there later: try again", err=True, color=True)
        raise SystemExit(PlatformError.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
