"""What shapes can a field have? The words in which fields.py writes down Tekton's objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: `kind` is string, integer, boolean, duration, value or anything."""

    kind: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A string out of a fixed set."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class MapOf:
    of: Shape


@dataclass(frozen=True, slots=True)
class Inert:
    """Confinement, scheduling and documentation of the cluster: no effect on a local process."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Known to Tekton, not honoured here; `why` ends the sentence 'cannot be honoured here: '."""

    why: str


@dataclass(frozen=True)
class Table:
    """An object: its fields by name, and which of them must be there."""

    title: str
    fields: dict[str, Shape]
    required: tuple[str, ...] = ()


Shape: TypeAlias = "Leaf | Choice | ListOf | MapOf | Inert | Refused | Table"

TEXT = Leaf("string")
NUMBER = Leaf("integer")
FLAG = Leaf("boolean")
DURATION = Leaf("duration")
VALUE = Leaf("value")
ANY = Leaf("anything")
TEXTS = ListOf(TEXT)
INERT = Inert()
