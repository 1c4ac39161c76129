"""Names of HTTP headers, as Go's net/textproto writes them."""

from __future__ import annotations


def canonical(name: str) -> str:
    """`x-github-event` as `X-Github-Event`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
