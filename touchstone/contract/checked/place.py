"""Where in touchstone.yaml is what wrong?"""

from __future__ import annotations

from collections.abc import Iterator

from trust_gates.policy import Path as FieldPath

Found = Iterator[tuple[FieldPath, str]]
"""Of what is wrong: the field that says so, and words."""


def under(above: FieldPath, found: Found) -> Found:
    """The same, of fields that are below another."""
    yield from (((*above, *path), problem) for path, problem in found)
