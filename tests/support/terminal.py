"""What a person sees: a command on a pseudo-terminal, its output read by a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pyte

_OURS = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CI")


@dataclass(frozen=True)
class Shown:
    """The screen when the command had ended."""

    lines: list[str]
    raw: str
    """Every byte that the terminal got."""

    exit_code: int

    def line(self, text: str) -> str:
        """The first line with `text` in it."""
        return next(line for line in self.lines if text in line)


def shown(
    words: list[str],
    home: Path,
    *,
    columns: int,
    rows: int = 100,
    environment: dict[str, str] | None = None,
) -> Shown:
    """Run `touchstone` with `words` on a terminal of that size."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    given = {key: value for key, value in os.environ.items() if key not in _OURS}
    given |= {"TERM": "xterm-256color", "TOUCHSTONE_HOME": str(home), **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "touchstone", *words],
        stdin=writer, stdout=writer, stderr=writer, env=given, start_new_session=True,
    )  # fmt: skip
    os.close(writer)
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    raw = b""
    try:
        while chunk := os.read(reader, 1 << 16):
            raw += chunk
            stream.feed(chunk)
    except OSError:
        pass  # a terminal's way to say that nobody writes any more
    os.close(reader)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Shown(lines, raw.decode(errors="replace"), process.wait())
