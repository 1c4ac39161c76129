"""How far is a long piece of work? One line as it goes on, which a log keeps and people look for.

`trial 3/8 best val_accuracy=0.7313`: what is counted, how many of how many are done, and what is
known so far. Whoever measures calls `tell` and need not know who hears it: a stage prints it,
nobody else hears anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from trust_gates.visible import one_line

_LINE = re.compile(r"[a-z][a-z ]{0,30} \d{1,9}/\d{1,9}( .*)?", re.IGNORECASE)

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def line(what: str, done: int, total: int, known: str = "") -> str:
    """`done` of `total` of `what` (a singular) are over, and `known` is what they showed."""
    return one_line(f"{what} {done}/{total} {known}")


def is_told(text: str) -> bool:
    """Whether a line of a log says so."""
    return _LINE.fullmatch(text) is not None


def tell(what: str, done: int, total: int, known: str = "") -> None:
    """Say so to who listens; see `line`."""
    listener = _listener.get()
    if listener is not None:
        listener(line(what, done, total, known))


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """Let `listener` have every line that is told in the block, by this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
