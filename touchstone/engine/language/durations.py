"""How long is `1h30m`? Go's duration notation, as Tekton's timeouts are written."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """Seconds in a Go duration such as 1h30m, 500ms or 0. Raises ValueError on anything else."""
    if text == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(text):
        match = _PART.match(text, position)
        if not match:
            break
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise ValueError(f"got {text!r}, expected a duration such as 1h30m, 90s or 500ms")
    return total


def go_text(value: float) -> str:
    """The same duration as Go prints it in Tekton's messages: 1h0m0s, 1m30s, 2s, 500ms."""
    if 0 < value < 1:
        return f"{value * 1000:g}ms"
    hours, rest = divmod(value, 3600)
    minutes, secs = divmod(rest, 60)
    text = f"{secs:g}s"
    if hours or minutes:
        text = f"{int(minutes)}m{text}"
    return f"{int(hours)}h{text}" if hours else text
