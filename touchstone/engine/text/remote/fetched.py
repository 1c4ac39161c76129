"""What every resolver gives back, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIMIT = 1024 * 1024
"""Bytes a resolved file may have; a cluster could not store a larger one either."""


class ResolutionError(Exception):
    """A remote reference gave nothing: why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file's text and Tekton's refSource of it."""

    text: str
    uri: str
    digest: Mapping[str, str]
    """Algorithm to hex digest."""

    entry_point: str = ""

    @property
    def source(self) -> dict[str, object]:
        """The refSource document."""
        document: dict[str, object] = {"uri": self.uri, "digest": dict(self.digest)}
        if self.entry_point:
            document["entryPoint"] = self.entry_point
        return document


def required(params: Mapping[str, str], *names: str) -> list[str]:
    """The values of these params. Raises ResolutionError naming those that are missing."""
    missing = [name for name in names if not params.get(name)]
    if missing:
        raise ResolutionError(f"got no param {', '.join(missing)}, expected {', '.join(names)}")
    return [params[name] for name in names]


def as_text(content: bytes, what: str) -> str:
    """`content` as text. Raises ResolutionError where it is too large or not UTF-8."""
    if len(content) > LIMIT:
        raise ResolutionError(f"{what}: got more than {LIMIT} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ResolutionError(f"{what}: got bytes that are not UTF-8") from None
