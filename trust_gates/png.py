"""Figures as PNG bytes that are the same for the same figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any


class Drawn(Mapping[str, bytes]):
    """Pictures by name, each drawn when it is first looked at: drawing one takes as long as a gate.

    Whoever asks for a verdict alone never waits for them, nor for matplotlib.
    """

    def __init__(self, draw: Mapping[str, Callable[[], bytes]]) -> None:
        self._draw = draw
        self._seen: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._seen:
            self._seen[name] = self._draw[name]()
        return self._seen[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)


def png(figure: Any) -> bytes:
    """The matplotlib figure's bytes, without a time or a version inside."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def literal(text: str) -> str:
    """A name of others as matplotlib shows it letter by letter: between two $ it reads formulas."""
    return text.replace("$", r"\$")
