"""Reading an interceptor's params: what was given, what Tekton expects, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SecretRef = tuple[str, str]
"""A Secret's name and key."""


def by_name(given: Mapping[str, Any], known: Iterable[str], *, of: str) -> dict[str, Any]:
    """What was given, under the names as they are `known`.

    Go's encoding/json, which reads them there, takes a key in any case, the last of several in the
    order of their bytes, and null for a key that is not there.

    Raises:
        ValueError: naming the first param that `of` does not take.
    """
    names = {name.casefold(): name for name in known}
    found: dict[str, Any] = {}
    for key in sorted(given):
        if (name := names.get(key.casefold())) is None:
            raise ValueError(
                f"got the param {key!r} for {of}, expected one of {sorted(names.values())}"
            )
        if given[key] is not None:
            found[name] = given[key]
    return found


def secret_ref(value: Any, *, name: str = "secretRef") -> SecretRef | None:
    """The reference, or None where there is none. Raises ValueError where it is incomplete."""
    if value is None:
        return None
    wanted = ("secretName", "secretKey")
    found = by_name(value, wanted, of=name) if isinstance(value, Mapping) else {}
    if len(found) != 2 or not all(isinstance(text, str) and text for text in found.values()):
        raise ValueError(f"got {name} {value!r}, expected secretName and secretKey")
    return found["secretName"], found["secretKey"]


def texts(value: Any, *, name: str) -> tuple[str, ...] | None:
    """A list of texts, or None where there is none. Raises ValueError where it is another thing."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"got {name} {value!r}, expected a list of texts")
    return tuple(str(item) for item in value)


def flag(value: Any, *, name: str) -> bool:
    """A boolean, false where there is none. Raises ValueError where it is another thing."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise ValueError(f"got {name} {value!r}, expected true or false")
