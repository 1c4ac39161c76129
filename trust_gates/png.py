"""Figures as PNG bytes that are the same for the same figure."""

from __future__ import annotations

from io import BytesIO
from typing import Any


def png(figure: Any) -> bytes:
    """The matplotlib figure's bytes, without a time or a version inside."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def literal(text: str) -> str:
    """A name of others as matplotlib shows it letter by letter: between two $ it reads formulas."""
    return text.replace("$", r"\$")
