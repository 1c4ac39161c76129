"""What every stage shares: a command line from a function, results, and honest exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from touchstone.errors import INTERRUPTED, ManifestError, TouchstoneError
from trust_gates.errors import PolicyError
from trust_gates.visible import guard_output


def run(stage: Callable[..., Any]) -> None:
    """Run `stage` as a command line; exit with the code documented in touchstone.errors.

    `trust_gates` and `training` raise ValueError and RuntimeError of their own: a stage that
    meets one has failed (exit 1), with the message and without a traceback in between. A policy
    that the data do not fit is a wrong touchstone.yaml.
    """
    guard_output()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(stage)
    try:
        app(color=True)
    except TouchstoneError as error:
        # The error comes last: the last line is what people see of a stage.
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True, color=True)
        typer.echo(f"error: {error}", err=True, color=True)
        sys.exit(error.exit_code)
    except (ValueError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True, color=True)
        wrong = isinstance(error, PolicyError)
        sys.exit(ManifestError.exit_code if wrong else TouchstoneError.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def read_token(file: Path | None) -> str:
    """The token in a mounted Secret's file; empty where there is no such file."""
    if file is None or not file.is_file():
        return ""
    return file.read_text(encoding="utf-8").strip()


def write_result(path: Path, value: str) -> None:
    """Write a Tekton result: the file's whole content is the value, without a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value, encoding="utf-8")
