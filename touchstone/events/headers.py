"""What are an event's headers called, and which values has each? As Go's net/http has it.

An event's headers are a mapping from names in lower case to a text. A name that came several times
has its values on lines of their own, which no value in HTTP can hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def canonical(name: str) -> str:
    """`x-github-event` as `X-Github-Event`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers in the order in which they came."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key, line = name.lower(), value.replace("\n", " ")
        found[key] = f"{found[key]}\n{line}" if key in found else line
    return found


def first(headers: Mapping[str, str], name: str) -> str:
    """The first value, empty where there is none: Go's Header.Get. `name` in any case."""
    return headers.get(name.lower(), "").partition("\n")[0]


def lists(headers: Mapping[str, str]) -> dict[str, list[str]]:
    """Go's http.Header, as interceptors see it."""
    return {canonical(name): text.split("\n") for name, text in headers.items()}


def joined(headers: Mapping[str, str]) -> dict[str, str]:
    """As bindings see them: the values of a name with a comma between."""
    return {canonical(name): text.replace("\n", ",") for name, text in headers.items()}
