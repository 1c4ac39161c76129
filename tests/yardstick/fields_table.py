"""Which fields of Tekton's objects are honored here, which have no effect, which are refused?"""

from __future__ import annotations

from collections.abc import Iterator

from touchstone.documents.shapes import Inert, ListOf, MapOf, Open, Refused, Shape, Table
from touchstone.engine.text.fields import KINDS


def rows() -> list[tuple[str, str, str]]:
    """(object, field, what happens to it) for every field that is not simply honored."""
    seen: dict[tuple[str, str], str] = {}
    for kind in KINDS.values():
        for title, field, shape in _walk(kind):
            match shape:
                case Inert():
                    seen[title, field] = "accepted, no effect on a local process"
                case Refused(why=why):
                    seen[title, field] = f"refused: {why}"
    return [(title, field, what) for (title, field), what in sorted(seen.items())]


def honored() -> int:
    """How many fields are honored, each counted once for the object it belongs to."""
    found = {
        (title, field)
        for kind in KINDS.values()
        for title, field, shape in _walk(kind)
        if not isinstance(shape, Inert | Refused)
    }
    return len(found)


def _walk(shape: Shape, inside: frozenset[int] = frozenset()) -> Iterator[tuple[str, str, Shape]]:
    """Every field of `shape` and below; a table inside itself (a pipeline in one) is told once."""
    while isinstance(shape, ListOf | MapOf | Open):
        shape = shape.of
    if isinstance(shape, Table) and id(shape) not in inside:
        for name, inner in shape.fields.items():
            yield shape.title, name, inner
            yield from _walk(inner, inside | {id(shape)})
