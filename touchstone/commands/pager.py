"""How is text that may be longer than a screen shown? As git does: through $PAGER on a terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress

import typer

from trust_gates.visible import console, visible


def page(text: str, *, styled: bool = False) -> None:
    """Print the text; through $PAGER, or less, where stdin and stdout are terminals.

    Args:
        styled: whether it holds styles of our own, so that what others wrote in it is visible
            already: no pager shall act on their control characters.
    """
    shown = text if styled else visible(text)
    command = shlex.split(os.environ.get("PAGER", "less"))
    # Where nobody can type, a pager would wait for a key for ever.
    terminal = sys.stdout.isatty() and sys.stdin.isatty()
    if not command or command == ["cat"] or not terminal:
        _print(shown, styled)
        return
    # As git sets it: end where one screen is enough, pass on colours, leave the screen as it is.
    settings = {"LESS": "FRX", **os.environ}
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=settings, text=True)
    except OSError:
        _print(shown, styled)  # it is not there
        return
    with suppress(BrokenPipeError, KeyboardInterrupt):  # whoever reads has read enough
        process.communicate(shown.rstrip("\n") + "\n")
    process.wait()


def _print(text: str, styled: bool) -> None:
    if styled:
        console().file.write(text)
    else:
        typer.echo(text)
