"""What shapes can a field have? The words in which tables of fields are written."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value."""

    kind: str
    """What messages call it."""

    types: tuple[type, ...]

    problem: Callable[[Any], str] = lambda _: ""
    """What is wrong with a value of one of these types; empty where nothing is."""


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
class Core:
    """An object of one of Kubernetes' own types, by its name in `core_types`."""

    name: str


@dataclass(frozen=True, slots=True)
class Open:
    """A place that the CRD's schema does not look into: Go alone reads it, names in any case."""

    of: Shape


@dataclass(frozen=True, slots=True)
class Inert:
    """Confinement, scheduling and documentation of the cluster: no effect on a local process.

    Tekton decodes it all the same, as `of`.
    """

    of: Shape


@dataclass(frozen=True, slots=True)
class Refused:
    """Known to Tekton, not honoured here; `why` ends the sentence 'cannot be honoured here: '.

    Tekton decodes it as `of`.
    """

    why: str
    of: Shape


@dataclass(frozen=True)
class Table:
    """An object: its fields by name, and which of them a run cannot do without.

    To Go a text that is not there is an empty one; a rule says where Tekton refuses that.
    """

    title: str
    fields: dict[str, Shape]
    required: tuple[str, ...] = ()
    strict: bool = False
    """Whether Tekton too refuses one without its required fields."""


Shape: TypeAlias = "Leaf | Choice | ListOf | MapOf | Core | Open | Inert | Refused | Table"

_QUANTITY = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")


def _bits(bits: int) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        fits = isinstance(value, str) or -1 <= value >> (bits - 1) <= 0
        return "" if fits else f"got {value}, expected a number of at most {bits} bits"

    return problem


def _quantity(value: Any) -> str:
    fits = _QUANTITY.fullmatch(str(value).strip())
    return "" if fits else f"got {value!r}, expected a quantity such as 2, 500m, 1.5Gi or 2G"


def _time(value: str) -> str:
    try:
        fits = "T" in value and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        fits = False
    return "" if fits else f"got {value!r}, expected a time such as 2026-11-30T12:00:00Z"


def _base64(value: str) -> str:
    try:
        base64.b64decode(value.replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return "got a value that is not base64, expected base64"
    return ""


TEXT = Leaf("string", (str,))
NUMBER = Leaf("integer", (int,), _bits(64))
INT32 = Leaf("integer", (int,), _bits(32))
FLAG = Leaf("boolean", (bool,))
PORT = Leaf("port", (int, str), _bits(32))
QUANTITY = Leaf("quantity", (str, int, float), _quantity)
TIME = Leaf("time", (str,), _time)
BASE64 = Leaf("base64", (str,), _base64)
VALUE = Leaf("value", (str, int, float, bool, list, dict))
ANY = Leaf("anything", (object,))
TEXTS = ListOf(TEXT)
