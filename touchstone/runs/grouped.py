"""How do many that write at the same moment wait for the disk once, and not once each?

Whoever comes first works for all that came meanwhile: while one commit is on its way to the disk,
the next ones gather, and share the one that follows (group commit).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Waiting(Generic[Item, Answer]):
    item: Item
    answer: list[Answer] = field(default_factory=list)
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Grouped(Generic[Item, Answer]):
    """Calls `work` with what several threads ask for at once; safe for all of them.

    Args:
        work: one answer for each item, all or none of which is done. Where it fails for several,
            each is tried alone, so that nobody fails for another's sake.
        most: items in one call.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], most: int = 256) -> None:
        self._work, self._most = work, most
        self._lock = threading.Lock()
        self._queue: list[_Waiting[Item, Answer]] = []
        self._at_work = threading.Lock()

    def __call__(self, item: Item) -> Answer:
        """The answer for the item; raises what `work` raises for it."""
        mine: _Waiting[Item, Answer] = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
        while not mine.done.is_set():
            with self._at_work:
                if mine.done.is_set():
                    break
                with self._lock:
                    group, self._queue = self._queue[: self._most], self._queue[self._most :]
                self._answer(group)
        if mine.error is not None:
            raise mine.error
        return mine.answer[0]

    def _answer(self, group: Sequence[_Waiting[Item, Answer]]) -> None:
        try:
            answers = self._work([one.item for one in group])
        except Exception as error:
            if len(group) == 1:
                group[0].error = error
                group[0].done.set()
                return
            for one in group:
                self._answer([one])
            return
        for one, answer in zip(group, answers, strict=True):
            one.answer.append(answer)
            one.done.set()
