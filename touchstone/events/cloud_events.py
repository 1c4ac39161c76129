"""Is this request a CloudEvent, and which one?

Nothing is unwrapped: as in Tekton Triggers, the bindings of a structured event see its envelope
(`$(body.data.x)`), those of a binary one see its data (`$(body.x)`) and its attributes as headers
(`$(header.Ce-Type)`).
"""

from __future__ import annotations

from collections.abc import Mapping

from touchstone.events.headers import first

_STRUCTURED = "application/cloudevents"


def is_cloud_event(headers: Mapping[str, str]) -> bool:
    """Whether the headers (names in lower case) announce a CloudEvent in either mode."""
    return first(headers, "content-type").startswith(_STRUCTURED) or "ce-specversion" in headers


def identity(headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """The event's (source, id), which no two events share.

    Raises:
        ValueError: it is not a CloudEvent 1.0.
    """
    from cloudevents.exceptions import GenericException
    from cloudevents.http import from_http

    try:
        once = {name: first(headers, name) for name in headers}
        attributes = from_http(once, body).get_attributes()
    except GenericException as error:
        raise ValueError(f"got a broken CloudEvent: {error}") from None
    if attributes["specversion"] != "1.0":
        raise ValueError(f"got CloudEvents {attributes['specversion']}, expected 1.0")
    for name in ("id", "source", "type"):
        if not isinstance(attributes[name], str) or not attributes[name]:
            raise ValueError(f"got the CloudEvent {name} {attributes[name]!r}, expected text")
    return attributes["source"], attributes["id"]
