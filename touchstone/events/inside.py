"""Events of the embedded platform itself, for the listeners that have no address."""

from __future__ import annotations

from collections.abc import Mapping

from touchstone.events import identity
from touchstone.events.listener import LISTENER, PATH
from touchstone.runs.store import State

SOURCES = "touchstone-sources"
"""The EventListener of tekton/sources."""


def put(state: State, headers: Mapping[str, str], body: bytes, *, listener: str) -> bool:
    """Store a CloudEvent in binary mode before `listener`; False where it is known already.

    Raises:
        ValueError: it is no CloudEvent 1.0.
    """
    source, event_id = identity.of_cloud_event(headers, body)
    stored = state.add_event(
        source=source,
        event_id=event_id,
        headers={**headers, PATH: "/", LISTENER: listener},
        body=body,
    )
    return stored is not None
