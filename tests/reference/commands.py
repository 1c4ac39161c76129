"""docs/reference/commands.md: what `--help` says of every command, and every exit code."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from touchstone import cli
from touchstone.errors import INTERRUPTED, TouchstoneError

_HEADER = """\
# Commands

*Made by `make reference` from the commands' own help; do not edit by hand.*

"""
_WIDTH = 96


def page() -> str:
    """The whole page."""
    group = typer.main.get_command(cli._app())
    helps = "".join(
        f"\n## {name}\n\n```\n{text}\n```\n" for name, text in _helps(group, "touchstone")
    )
    return _HEADER + _exit_codes() + helps


def _helps(group: typer.core.TyperGroup, name: str) -> Iterator[tuple[str, str]]:
    for part, command in group.commands.items():
        whole = f"{name} {part}"
        if hasattr(command, "commands"):
            yield from _helps(command, whole)
        else:
            context = command.context_class(
                command, info_name=whole, terminal_width=_WIDTH, max_content_width=_WIDTH
            )
            yield whole, command.get_help(context)


def _exit_codes() -> str:
    kinds = [TouchstoneError, *TouchstoneError.__subclasses__()]
    said = {0: "Done.", 1: "Failed."}
    said |= {kind.exit_code: kind.__doc__.split("\n")[0] for kind in kinds[1:]}
    rows = sorted({**said, INTERRUPTED: "Interrupted (SIGINT)."}.items())
    return "## Exit codes\n\n| code | meaning |\n| --- | --- |\n" + "".join(
        f"| {code} | {meaning} |\n" for code, meaning in rows
    )
