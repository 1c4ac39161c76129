"""How does a person get into a step's surroundings? A shell there, on their own terminal."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from touchstone.engine.pod.process import Call, Guard, Running, shell, shell_code
from touchstone.errors import PlatformError

_TICK = 250
"""Milliseconds between two looks at the size of the terminal."""

_CHUNK = 1 << 16


def has_terminal() -> bool:
    """Whether standard input is a terminal that this process may take."""
    with suppress(OSError):  # it is no terminal, or not the one this process belongs to
        return os.tcgetpgrp(0) == os.getpgrp()
    return False


def open_shell(call: Call, *, prompt: str) -> int:
    """A shell with the mounts, environment, folder and user of `call`; its exit code.

    It runs on the terminal, or where there is none on standard input and output. Raises
    PlatformError where it cannot be started.
    """
    environment = {**call.environment, "TERM": os.environ.get("TERM", "dumb"), "PS1": prompt}
    call = replace(call, argv=shell(), environment=environment)
    guard = Guard()
    try:
        if not has_terminal():
            running = guard.start(call, (0, 1, 2))
            running.wait(None, None)
            return shell_code(running.end())
        return _on_terminal(guard, replace(call, argv=(*shell(), *_interactive())))
    except OSError as error:
        raise PlatformError(f"a shell could not be opened in {call.folder}: {error}") from None
    finally:
        guard.close()


def _interactive() -> tuple[str, ...]:
    # The machine's own start-up file would change the prompt.
    return ("--norc", "-i") if Path(shell()[0]).name == "bash" else ("-i",)


def _on_terminal(guard: Guard, call: Call) -> int:
    leader, follower = os.openpty()
    try:
        try:
            running = guard.start(call, (follower,) * 3, terminal=True)
        finally:
            os.close(follower)
        with _raw_terminal() as terminal:
            _relay(terminal, leader, running)
        return shell_code(running.end())
    finally:
        os.close(leader)


@contextmanager
def _raw_terminal() -> Iterator[int]:
    """The terminal, every key of which goes to the shell, Ctrl-C too."""
    terminal = os.open(os.ttyname(0), os.O_RDWR)
    before = termios.tcgetattr(terminal)
    try:
        tty.setraw(terminal)
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.close(terminal)


def _relay(terminal: int, leader: int, running: Running) -> None:
    """Carry bytes both ways until the shell ended or the terminal is gone."""
    poller = select.poll()
    for descriptor in (terminal, leader, running.fileno()):
        poller.register(descriptor, select.POLLIN)
    size = b""
    while True:
        now = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
        if now != size:
            size = now
            fcntl.ioctl(leader, termios.TIOCSWINSZ, size)
        ready = {descriptor for descriptor, _ in poller.poll(_TICK)}
        if leader in ready:
            if not _pass_on(leader, terminal):
                return
        elif running.fileno() in ready:
            return
        if terminal in ready and not _pass_on(terminal, leader):
            return


def _pass_on(source: int, target: int) -> bool:
    """Carry what there is; whether there was any. EIO says that the other side was closed."""
    with suppress(OSError):
        data = os.read(source, _CHUNK)
        return bool(os.write(target, data)) if data else False
    return False
