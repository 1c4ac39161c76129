"""What happens in a run and what its steps write, printed line by line as it comes."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TextIO

import typer

from touchstone.errors import PlatformError

if TYPE_CHECKING:
    from touchstone.engine import Notice, StepWaiting


class Printer:
    """Prints; at a breakpoint it opens a shell where there is a terminal, and prints later."""

    def __init__(self, *, err: bool) -> None:
        self._err = err
        self._open: dict[tuple[str, str], TextIO] = {}
        self._rest: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._waiting: queue.SimpleQueue[StepWaiting | None] = queue.SimpleQueue()
        self._voice = threading.Lock()
        self._held: list[str] | None = None
        """What is to be printed once the terminal is free; None while it is."""

        self._unwritten: OSError | None = None
        """Why what is printed goes nowhere: the pipe is closed, or the disk is full."""

        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._follow, self._open_shells)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._drain()
        if self._unwritten and not isinstance(self._unwritten, BrokenPipeError):
            why = self._unwritten.strerror
            typer.echo(f"note: not all could be printed: {why}; touchstone logs has it", err=True)

    def notice(self, notice: Notice) -> None:
        """Take a notice of the engine; called from its threads."""
        from touchstone import engine

        match notice:
            case engine.StepStarted():
                with self._lock:
                    notice.log.touch()
                    key = (notice.task, notice.step)
                    self._open[key] = notice.log.open(encoding="utf-8", errors="replace")
            case engine.StepWaiting():
                self._waiting.put(notice)
            case engine.Message():
                self._say(f"note: {notice.text}")
            case engine.TaskStarted():
                again = f" (retry {notice.attempt})" if notice.attempt else ""
                self._say(f"{notice.task}: started{again}")
            case engine.TaskSkipped():
                self._say(f"{notice.task}: skipped: {notice.reason}")
            case engine.TaskFinished():
                self._drain(notice.task)
                self._say(
                    f"{notice.task}: {notice.reason} after {notice.seconds:.1f} s"
                    + ("" if notice.succeeded else f": {notice.message}")
                )
            case engine.RunFinished():
                self._say(f"{notice.run}: {notice.reason}: {notice.message}")

    def _follow(self) -> None:
        while not self._over.wait(0.1):
            self._drain(None, close=False)

    def _drain(self, task: str | None = None, *, close: bool = True) -> None:
        """Print what came since, of one task or all; with `close`, the unfinished last line too."""
        with self._lock:
            for key in [key for key in self._open if task is None or key[0] == task]:
                text = self._rest.pop(key, "") + self._open[key].read()
                whole, sign, rest = text.rpartition("\n")
                for line in whole.split("\n") if sign else []:
                    self._say(f"[{key[0]} : {key[1]}] {line}")
                if not close:
                    self._rest[key] = rest
                    continue
                if rest:
                    self._say(f"[{key[0]} : {key[1]}] {rest}")
                self._open.pop(key).close()

    def _open_shells(self) -> None:
        """Open a shell for one waiting step after the other; meanwhile nothing is printed."""
        from touchstone.commands.debug import enter
        from touchstone.engine.pod.terminal import has_terminal

        while notice := self._waiting.get():
            waiting = notice.waiting
            self._drain(waiting.task, close=False)
            if not has_terminal():
                self._say(f"note: to get into it: touchstone debug {notice.run} {waiting.task}")
                continue
            self._held = []
            try:
                enter(waiting, err=self._err)
                # Who leaves without an answer lets it end as it would have.
                waiting.answer(proceed=waiting.before)
            except PlatformError as error:
                self._say(f"note: {error}")
            finally:
                with self._voice:
                    for line in self._held:
                        self._print(line)
                    self._held = None

    def _say(self, line: str) -> None:
        with self._voice:
            if self._held is None:
                self._print(line)
            else:
                self._held.append(line)

    def _print(self, line: str) -> None:
        """Print, until nobody takes it any more: the run goes on, and its logs keep everything."""
        if self._unwritten:
            return
        try:
            typer.echo(line, err=self._err, color=True)
        except OSError as error:
            self._unwritten = error
