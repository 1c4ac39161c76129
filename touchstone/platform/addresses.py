"""Where does the platform listen, and may it? On two ports of loopback that follow each other."""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass

from touchstone.errors import PlatformError, UsageError

_LAST = 65535
_PATIENCE = 1.5
"""Seconds in which the proxy of a platform that was just killed gives its port back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the platform listens; always on loopback."""

    listener: int
    serving: int

    @classmethod
    def of(cls, port: int) -> Addresses:
        """The listener's `port`, and the next one for serving.

        Raises:
            UsageError: there are no such two ports.
            PlatformError: one is taken, or this user may not take it.
        """
        if not 0 < port < _LAST:
            raise UsageError(
                f"got port {port}, expected one from 1 to {_LAST - 1}, as serving takes the next",
                hint="leave out --port, or give another",
            )
        for number, whose in ((port, "the listener"), (port + 1, "serving")):
            _check_free(number, whose)
        return cls(listener=port, serving=port + 1)

    @property
    def listener_url(self) -> str:
        """Base URL of the EventListener."""
        return f"http://127.0.0.1:{self.listener}"

    @property
    def serving_url(self) -> str:
        """Base URL of the serving proxy."""
        return f"http://127.0.0.1:{self.serving}"


def _check_free(port: int, whose: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (number := _refusal(port)) == errno.EADDRINUSE and time.monotonic() < deadline:
        time.sleep(0.1)
    if not number:
        return
    words = {errno.EADDRINUSE: "taken by another process", errno.EACCES: "not for this user"}
    raise PlatformError(
        f"port {port} of 127.0.0.1 is {words.get(number, os.strerror(number))}, expected it free"
        f" for {whose}",
        hint=f"--port N takes N and N + 1; `ss -ltnp sport = :{port}` says who listens there",
    )


def _refusal(port: int) -> int:
    """Why nobody may listen on the port, as an errno; 0 where one may."""
    with socket.socket() as probe:
        # As the servers do: connections that have just ended keep nobody from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno or errno.EIO
    return 0
