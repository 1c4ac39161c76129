"""How many connections may strangers hold open, and for how long?

uvicorn with h11 parses and answers; what it leaves open is closed here. A connection that waits for
the rest of a request is closed after `Limits.receive` seconds, also one that sends a byte a second;
one whose answer is not read after `Limits.send`. Beyond a number of connections, in total and of
one address, the one that has waited longest makes room for the newest: a request that comes whole
is answered however many idle ones are held, also where all of them come from one proxy's address.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_LOOK_SECONDS = 0.5
"""Seconds between two looks at a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all together, may hold."""

    receive: float = 15.0
    """Seconds for a request to come whole, from the connection or the answer before on."""
    send: float = 30.0
    """Seconds in which an answer must be read."""
    connections: int = 256
    per_address: int = 192


class _Connection(H11Protocol):
    """One connection; `limits` belong to its server."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._unread_since: float | None = None
        self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    @property
    def _waits(self) -> bool:
        """Whether the client has to send something before there is anything to do."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _make_room(self) -> None:
        held = [
            one
            for one in self.connections
            if isinstance(one, _Connection) and not one.transport.is_closing()
        ]
        here = [one for one in held if _address(one) == _address(self)]
        for crowd, most in ((here, self.limits.per_address), (held, self.limits.connections)):
            if sum(not one.transport.is_closing() for one in crowd) > most:
                waiting = [one for one in crowd if one is not self and one._waits]
                min(waiting, key=lambda one: one._since, default=self).transport.abort()

    def _look(self) -> None:
        now = self.loop.time()
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        unread = self._unread_since is not None and now - self._unread_since > self.limits.send
        if unread or (self._waits and now - self._since > self.limits.receive):
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)


def _address(connection: _Connection) -> str:
    return connection.client[0] if connection.client else ""


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals belong to the platform's main thread."""


def server_of(app: Any, port: int, limits: Limits | None = None) -> uvicorn.Server:
    """A server of the ASGI app on a loopback port; `run()` serves until `should_exit` is set."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    chosen = limits or Limits()
    # Descriptors are for the platform's own work too: connections take at most half of them.
    most = min(chosen.connections, files // 2)
    chosen = replace(chosen, connections=most, per_address=min(chosen.per_address, most))
    protocol = type("Connection", (_Connection,), {"limits": chosen})
    return _Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            http=protocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    )
