"""How does text fit the width of a terminal? Nothing that decides is cut: names give way first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trust_gates.visible import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LEAST = 8
"""Columns that a shortened name keeps."""


def middle(text: str, width: int) -> str:
    """The text on one line of at most `width` columns, both its ends kept."""
    from rich.cells import cell_len

    text = one_line(text)
    if cell_len(text) <= width:
        return text
    left, right = _within(text, width // 2), _within(text[::-1], (width - 1) // 2)[::-1]
    return f"{left}…{right}"


def _within(text: str, width: int) -> str:
    """As much of the text's beginning as `width` columns hold."""
    from rich.cells import cell_len

    taken = 0
    for index, sign in enumerate(text):
        taken += cell_len(sign)
        if taken > width:
            return text[:index]
    return text


def begun(text: str, width: int) -> str:
    """The text on one line of at most `width` columns, its end cut."""
    from rich.cells import cell_len

    text = one_line(text)
    return text if cell_len(text) <= width else _within(text, width - 1) + "…"


def folded(text: str, screen: Console, width: int) -> list[Text]:
    """All of the text, in lines of at most `width` columns."""
    from rich.text import Text

    shown = Text(visible(text.expandtabs(4)))
    return list(shown.wrap(screen, max(1, width), overflow="fold")) or [Text()]


def widths(rows: Sequence[Sequence[str]], names: Sequence[int], room: int) -> list[int]:
    """The columns' widths, titles first, so that all fit in `room` with gaps of 2.

    Where they do not, columns with nothing but a title go, `names` are shortened, the first of them
    last, and then go; a column that is left out has the width 0.
    """
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    found = [max(map(cell_len, column)) for column in columns]

    def excess() -> int:
        return sum(found) + 2 * (sum(map(bool, found)) - 1) - room

    for index, column in enumerate(columns):
        if excess() > 0 and not any(column[1:]):
            found[index] = 0
    first, *others = names
    for some, least in ((others, _LEAST), ([first], 2 * _LEAST), (others, 0), ([first], _LEAST)):
        for index in sorted(some, key=lambda index: -found[index]):
            if least:
                found[index] -= max(0, min(excess(), found[index] - least))
            elif excess() > 0:
                found[index] = 0
    return found
