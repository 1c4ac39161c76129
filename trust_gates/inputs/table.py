"""How do the columns of a table become a model's inputs? As data, so that no code is needed for it.

A dataset's description of its inputs has `columns`, and so has the model that was trained on it:
who trains, judges or serves encodes rows by the same description.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trust_gates.named import number
from trust_gates.visible import one_line
from trust_gates.wording import alike

UNKNOWN = "missing"
"""The group of those whose protected attribute is not known."""

MOST_FEATURES = 10_000
"""Values of one input."""

_CODE = re.compile(r"[-+]?0[0-9]")
"""How a text begins that is no number, though it has its digits."""

_LONGEST, _LISTED, _TOLD = 60, 12, 5
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LONGEST
_TRUTHS = {True: ("true", "True", "TRUE"), False: ("false", "False", "FALSE")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table, and what its values become: one or more features from 0 to 1."""

    name: str
    kind: Literal["number", "category"]
    missing: bool
    """Whether a value may be missing: that is a feature of its own, named `<name> missing`."""

    low: float = 0.0
    high: float = 1.0
    """Of a number: the range that becomes 0 to 1. A missing one becomes 0."""

    values: tuple[str, ...] = ()
    """Of a category: its words, as typed. Each is a feature named `<name>=<word>`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it becomes."""
        own = [f"{self.name}={value}" for value in self.values] if self.values else [self.name]
        return (*own, f"{self.name} missing") if self.missing else tuple(own)

    @property
    def expected(self) -> str:
        """What a value of it is, in words."""
        if self.kind == "number":
            words = f"a number from {self.low:.15g} to {self.high:.15g}"
        else:
            listed = ", ".join(map(shown, self.values[:_LISTED]))
            more = len(self.values) - _LISTED
            words = f"one of {listed}" + (f" and {more} more" if more > 0 else "")
        return words + (", or nothing where it is missing" if self.missing else "")

    def misfit(self, value: Any) -> str:
        """What is wrong with a value, as got and expected; empty where nothing is."""
        if gap(value):
            return "" if self.missing else f"got no value, expected {self.expected}"
        if self.kind == "number":
            found = quantity(value)
            fits = found is not None and self.low <= found <= self.high
            return "" if fits else f"got {shown(value)}, expected {self.expected}"
        word = self._word(value)
        if word in self.values:
            return ""
        near = alike(word, self.values) if len(word) <= _LONGEST else ""
        return f"got {shown(value)}, expected {self.expected}{near}"

    def encode(self, values: Sequence[Any]) -> NDArray[np.float32]:
        """Features (N, F) of fitting values (N)."""
        found = np.zeros((len(values), len(self.features)), dtype=np.float32)
        width = self.high - self.low
        places = {value: place for place, value in enumerate(self.values)}
        for row, value in enumerate(values):
            if gap(value):
                found[row, -1] = 1
            elif self.kind == "category":
                found[row, places[self._word(value)]] = 1
            elif width:
                found[row, 0] = (float(value) - self.low) / width
        return found.clip(0, 1)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a description."""
        own = (
            {"low": self.low, "high": self.high}
            if self.kind == "number"
            else {"values": list(self.values)}
        )
        return {"name": self.name, "kind": self.kind, **own, "missing": self.missing}

    @classmethod
    def of(cls, document: Any) -> Column:
        """The inverse of `to_json`. Raises ValueError for what describes no column."""
        said = dict(document) if isinstance(document, Mapping) else {}
        kind = said.get("kind")
        own = {"number": {"low", "high"}, "category": {"values"}}.get(str(kind), set())
        name, missing, values = said.get("name"), said.get("missing"), said.get("values", [])
        listed = values if isinstance(values, list | tuple) else [None]
        words = [value for value in listed if isinstance(value, str) and value]
        if (
            said.keys() != {"name", "kind", "missing", *own}
            or not own
            or not (isinstance(name, str) and name)
            or not isinstance(missing, bool)
            or len(words) != len(listed)
            or len(set(words)) != len(words)
            or (kind == "category" and not words)
        ):
            raise ValueError(
                f"got the column {shown(document)}, expected name, kind number (low, high) or"
                " category (values: distinct words), and missing: true or false"
            )
        low, high = quantity(said.get("low", 0)), quantity(said.get("high", 1))
        if low is None or high is None or not low <= high or not math.isfinite(high - low):
            raise ValueError(f"got the column {shown(document)}, expected low <= high, finite")
        return cls(
            name=name,
            kind="number" if kind == "number" else "category",
            missing=missing,
            low=low,
            high=high,
            values=tuple(words),
        )

    def _word(self, value: Any) -> str:
        if isinstance(value, bool | np.bool_):
            same = [word for word in _TRUTHS[bool(value)] if word in self.values]
            return same[0] if same else str(value)
        return str(value).strip()


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that a model's inputs are made of, in their order."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        for what, names in (("columns", self.names), ("features", self.features)):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(
                    f"got the {what} {', '.join(map(shown, twice[:_LISTED]))} twice, expected each"
                    " name once: rename a column"
                )

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Columns | None:
        """Those of a description's `inputs`; None where a model's inputs are no encoded table.

        Raises:
            ValueError: they are malformed, or do not give the features that the inputs have.
        """
        documents = inputs.get("columns")
        if documents is None:
            return None
        if not isinstance(documents, Sequence) or not 0 < len(documents) <= MOST_FEATURES:
            raise ValueError(f"got the columns {shown(documents)}, expected a list of columns")
        found = cls(tuple(map(Column.of, documents)))
        features, shape = list(inputs.get("features", ())), list(inputs.get("shape", ()))
        if list(found.features) != features or shape != [len(features)]:
            raise ValueError(
                f"got {len(features)} features of shape {shape}, expected those of the columns:"
                f" {len(found.features)}"
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features (F) that the columns become."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def sources(self) -> tuple[str, ...]:
        """(F): the column that each feature is of."""
        return tuple(column.name for column in self.columns for _ in column.features)

    def encode(
        self, rows: Sequence[Mapping[str, Any]], *, ignored: Collection[str] = ()
    ) -> NDArray[np.float32]:
        """Inputs (N, F), each from 0 to 1, of rows (N) by the columns' names.

        A value that is None, an empty text, NaN or not there is missing. A number may be the text
        of one, as in a CSV; the words of a category are as typed, without spaces around them.

        Args:
            ignored: names that rows may have besides.

        Raises:
            ValueError: a value fits its column not, or a row has a column that there is not; up to
                five of them are told, as row (from 1), column, got and expected.
        """
        problems = []
        for place, row in enumerate(rows, start=1):
            problems += [f"row {place}: {one}" for one in self.misfits(row, ignored=ignored)]
            if len(problems) > _TOLD:
                break
        if problems:
            more = "; and more" if len(problems) > _TOLD else ""
            raise ValueError("; ".join(problems[:_TOLD]) + more)
        parts = [column.encode([row.get(column.name) for row in rows]) for column in self.columns]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def misfits(self, row: Mapping[str, Any], *, ignored: Collection[str] = ()) -> list[str]:
        """What is wrong with one row, by column."""
        if not isinstance(row, Mapping):
            return [f"got {shown(row)}, expected a value by column: {self._listed()}"]
        problems = [
            f"got the column {shown(name)}, expected {self._listed()}"
            + (alike(name, self.names) if isinstance(name, str) else "")
            for name in row
            if name not in self.names and name not in ignored
        ]
        return problems + [
            f"{column.name}: {problem}"
            for column in self.columns
            if (problem := column.misfit(row.get(column.name)))
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """As they stand in a description."""
        return [column.to_json() for column in self.columns]

    def _listed(self) -> str:
        more = len(self.names) - _LISTED
        listed = ", ".join(map(one_line, self.names[:_LISTED]))
        return listed + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What else is known of the table that a model learned from."""

    label: str = "label"
    """The column that it tells."""

    protected: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Words that mean that a value is missing."""

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Source:
        """That of a description's `inputs`. Raises ValueError where it is malformed."""
        said = inputs.get("table", {})
        found = said if isinstance(said, Mapping) else {"label": None}
        label = found.get("label", "label")
        lists: list[Any] = [found.get(name, ()) for name in ("protected", "missing")]
        if not isinstance(label, str) or not all(
            isinstance(one, list | tuple) and all(isinstance(word, str) for word in one)
            for one in lists
        ):
            raise ValueError(
                f"got the table {shown(said)}, expected label, protected and missing: names"
            )
        return cls(label=label, protected=tuple(lists[0]), missing=tuple(lists[1]))


def columns_of(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """(F): the column that each feature of a description's `inputs` is of; empty without columns.

    Raises:
        ValueError: as `Columns.of`.
    """
    found = Columns.of(inputs)
    return () if found is None else found.sources


def gap(value: Any) -> bool:
    """Whether a value is missing: None, NaN, or a text without anything in it."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float | np.floating) and bool(value != value))


def quantity(value: Any) -> float | None:
    """How much a value says: the finite number that it is, or its text; None for another.

    `007` is a code and no number, and so is 1,000.
    """
    if isinstance(value, str):
        text = value.strip()
        return None if len(text) > _LONGEST or _CODE.match(text) else number(text)
    if isinstance(value, bool | np.bool_):
        return None
    if not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def shown(value: Any) -> str:
    """A value of others in a message: short, and without control characters."""
    return one_line(_SHORT.repr(value))
