"""Reading an interceptor's params: what was given, what Tekton expects, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SecretRef = tuple[str, str]
"""A Secret's name and key."""


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str], *, of: str) -> None:
    """Raises ValueError naming the first param that `of` does not take."""
    names = sorted(known)
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"got the param {unknown[0]!r} for {of}, expected one of {names}")


def secret_ref(value: Any, *, name: str = "secretRef") -> SecretRef | None:
    """The reference, or None where there is none. Raises ValueError where it is incomplete."""
    if value is None:
        return None
    if (
        not isinstance(value, Mapping)
        or set(value) != {"secretName", "secretKey"}
        or not all(isinstance(text, str) and text for text in value.values())
    ):
        raise ValueError(f"got {name} {value!r}, expected secretName and secretKey")
    return str(value["secretName"]), str(value["secretKey"])


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
