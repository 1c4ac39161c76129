"""How does a table become the arrays that a model learns from, and their description?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from touchstone.training.spec import Description, RawData
from touchstone.training.tables.asked import Data
from touchstone.training.tables.frame import Field, Frame, Problem, TableError, Values
from trust_gates.inputs.arrays import key
from trust_gates.inputs.table import MOST_FEATURES, UNKNOWN, Column, Columns, quantity, shown
from trust_gates.named import ordered
from trust_gates.wording import alike

_MOST_WORDS, _MOST_CLASSES, _MOST_GROUPS = 256, 256, 64
_MOST_INPUTS = 1 << 28
"""Rows times features."""

_CLASSES = 20
"""A label of more whole numbers than this is a number to tell."""

_LARGEST = 1e30
"""Of a label's numbers, which are float32."""

_LONGEST, _TOLD = 200, 5
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:[ ,.'\u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_COMMA = re.compile(r"[-+]?\d*,\d+")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d.*)?|\d{1,2}:\d{2}(?::\d{2})?")
_UNITS = re.compile(r"[$€£]\s?[\d.,]+|[\d.,]+\s?[%€]")


def raw(frame: Frame, data: Data) -> RawData:
    """The table as `data` says it is to be read.

    Numbers lie from 0 to 1 by their range, words are one feature each (see
    `trust_gates.inputs.table`); features of words, and those that say that a value is missing, are
    none that an attacker can change.

    Raises:
        TableError: a name is no column's, or a column's values are not what they should be; all
            problems together.
    """
    if problems := list(_misnamed(frame, data)):
        raise TableError(*problems)
    columns = {name: one.without(data.missing) for name, one in frame.columns.items()}
    frame = Frame(frame.file, columns, frame.lines)
    problems = [*_of_label(frame, data), *_of_groups(frame, data)]
    features = [name for name in columns if name != data.label and name not in data.ignore]
    constant = [name for name in features if len(columns[name].words) == 1]
    if constant:
        listed = ", ".join(map(shown, constant[:_TOLD])) + (", …" if constant[_TOLD:] else "")
        problems.append(
            (
                f"{frame.file}: got columns that are the same in every row ({listed}), which tell"
                " nothing; expected them in spec.data.ignore",
                ("ignore",),
            )
        )
    found = []
    for name in features:
        if name not in constant:
            try:
                found.append(_column(frame, name, data))
            except TableError as error:
                problems += error.problems
    count = sum(len(column.features) for column in found)
    if count > MOST_FEATURES or count * len(frame) > _MOST_INPUTS:
        problems.append(
            (
                f"{frame.file}: got {len(frame):,} rows of {count:,} features (a word is one"
                f" each), expected at most {MOST_FEATURES:,} features, and {_MOST_INPUTS:,} values"
                " of all rows: add columns to spec.data.ignore",
                ("ignore",),
            )
        )
    if not problems:
        try:
            return _whole(frame, data, Columns(tuple(found)))
        except ValueError as error:
            problems.append((f"{frame.file}: {error}", ()))
    raise TableError(*dict.fromkeys(problems))


def task_of(values: Values, data: Data) -> str:
    """What the label asks for, where touchstone.yaml does not say it."""
    if data.task is not None:
        return data.task
    numbers = [quantity(word) for word in values.words if word]
    known = [one for one in numbers if one is not None]
    if values.kind == "category" or not known or len(known) < len(numbers):
        return "classification"
    whole = all(one == int(one) for one in known)
    return "classification" if whole and len(known) <= _CLASSES else "regression"


def _misnamed(frame: Frame, data: Data) -> Iterator[Problem]:
    """Names of touchstone.yaml that are no column's."""
    asked: list[tuple[str, Field]] = [(data.label, ("label",))]
    for field in ("protected", "ignore", "categories"):
        asked += [(name, (field, place)) for place, name in enumerate(getattr(data, field))]
    asked += [(name, ("ranges", name)) for name in data.ranges]
    there = list(frame.columns)
    listed = ", ".join(map(shown, there[:20])) + (", …" if len(there) > 20 else "")
    for name, at in asked:
        if name not in frame.columns:
            yield (
                f"got {name!r}, expected a column of {frame.file}: {listed}{alike(name, there)}",
                at,
            )
    if not [name for name in there if name not in (data.label, *data.ignore)]:
        yield f"got no column of {frame.file} that is a feature, expected one or more", ("ignore",)


def _of_label(frame: Frame, data: Data) -> Iterator[Problem]:
    values = frame.columns[data.label]
    words = [word for word in values.words if word]
    if gaps := values.count(""):
        yield (
            f"{frame.at(values.first(''))}: got no {data.label}, expected one in each row: leave"
            f" out the {'row' if gaps == 1 else f'{gaps:,} rows'} without",
            (),
        )
    if task_of(values, data) == "regression":
        numbers = {word: quantity(word) for word in words}
        if wrong := [word for word, one in numbers.items() if one is None or abs(one) > _LARGEST]:
            yield (
                f"{frame.at(values.first(wrong[0]))}: got the {data.label} {shown(wrong[0])},"
                f" expected a number for a regression{_hint(wrong[0])}",
                ("task",),
            )
        elif len(words) < 2:
            yield f"{frame.file}: got one {data.label} in all rows, expected different ones", ()
        return
    if not 2 <= len(words) <= _MOST_CLASSES:
        yield (
            f"{frame.file}: got {len(words):,} different values of the label {data.label!r},"
            f" expected 2 to {_MOST_CLASSES} classes; of numbers to tell say task: regression",
            ("label",),
        )
        return
    yield from ((one, ("label",)) for one in _unprintable(frame, data.label))


def _of_groups(frame: Frame, data: Data) -> Iterator[Problem]:
    for place, name in enumerate(data.protected):
        at, values = ("protected", place), frame.columns[name]
        words = [word for word in values.words if word]
        if len(words) > _MOST_GROUPS:
            yield (
                f"got {len(words):,} different values of {name!r} in {frame.file}, expected at most"
                f" {_MOST_GROUPS} groups: add a column that says which group a row is of, such as"
                " an age's span",
                at,
            )
        elif "" in values.words and UNKNOWN in words:
            yield f"got gaps and the word {UNKNOWN!r} in {name!r}, expected one of them", at
        else:
            yield from ((one, ()) for one in _unprintable(frame, name))


def _column(frame: Frame, name: str, data: Data) -> Column:
    """How a column is encoded. Raises TableError where it cannot be."""
    values = frame.columns[name]
    words = [word for word in values.words if word]
    missing = len(words) < len(values.words)
    numbers = {word: quantity(word) for word in words}
    known = [one for one in numbers.values() if one is not None]
    if values.kind != "category" and name not in data.categories:
        if len(known) == len(words):
            low, high = _range(frame, name, data, known)
            return Column(name=name, kind="number", missing=missing, low=low, high=high)
        if known or values.kind == "number":
            raise TableError(_mixed(frame, name, numbers))
        if (hint := _hint(words[0])) and all(_hint(word) for word in words):
            raise TableError(
                f"{frame.at(values.first(words[0]))}: {name}: got {shown(words[0])}, expected a"
                f" number or a word{hint}; or add the column to spec.data.ignore, or to"
                " spec.data.categories as it is"
            )
    if len(words) > _MOST_WORDS:
        raise TableError(
            f"{frame.file}: got {len(words):,} different words in the column {shown(name)} (such as"
            f" {', '.join(map(shown, words[:3]))}), expected at most {_MOST_WORDS}: add it to"
            f" spec.data.ignore, or write fewer, broader ones{_hint(words[0])}"
        )
    if wrong := list(_unprintable(frame, name)):
        raise TableError(*wrong)
    return Column(name=name, kind="category", missing=missing, values=tuple(ordered(words)))


def _range(frame: Frame, name: str, data: Data, known: Sequence[float]) -> tuple[float, float]:
    """What a column's numbers can be, which those in the table must be."""
    low, high = map(float, data.ranges.get(name, (min(known), max(known))))
    values = frame.columns[name]
    for word in values.words:
        one = quantity(word)
        if one is not None and not low <= one <= high:
            raise TableError(
                f"{frame.at(values.first(word))}: {name}: got {word}, expected a number from"
                f" {low:g} to {high:g}, as spec.data.ranges says"
            )
    if not math.isfinite(high - low):
        raise TableError(f"{frame.file}: {name}: got {low} and {high}, expected a range of numbers")
    return low, high


def _mixed(frame: Frame, name: str, numbers: Mapping[str, float | None]) -> str:
    """What to say of a column of numbers and words."""
    values = frame.columns[name]
    odd = [place for place, word in enumerate(values.words) if word and numbers[word] is None]
    word, count = values.words[odd[0]], int(np.isin(values.codes, odd).sum())
    return (
        f"{frame.at(values.first(word))}: {name}: got {shown(word)}, expected a number, as"
        f" {len(frame) - count:,} of {len(frame):,} rows have (or nothing){_hint(word)}. Where it"
        " says that the value is missing, add it to spec.data.missing; where numbers are names"
        f" here, add {shown(name)} to spec.data.categories"
    )


def _hint(word: str) -> str:
    """What a value looks like that is no number, and what to write in its place."""
    if _GROUPED.fullmatch(word) or _COMMA.fullmatch(word):
        return f": write numbers as 1234.5, without signs between thousands (got {shown(word)})"
    if _DATE.fullmatch(word):
        return ": make a number of a date or time, such as the days since another"
    if _UNITS.fullmatch(word):
        return ": write a number without its unit"
    if re.fullmatch(r"0\d+", word):
        return ": digits that begin with 0 are a code"
    return ""


def _unprintable(frame: Frame, name: str) -> Iterator[str]:
    """Words that nobody could write in a policy."""
    values = frame.columns[name]
    for word in values.words:
        at = f"{frame.at(values.first(word))}: {name}"
        if len(word) > _LONGEST:
            yield (
                f"{at}: got {len(word):,} characters, expected a word of at most {_LONGEST}: texts"
                " are no categories; add the column to spec.data.ignore"
            )
            return
        if not word.isprintable():
            yield (
                f"{at}: got {shown(word)}, expected printable characters: in it is a line end, or a"
                " sign that looks like a space or like nothing"
            )
            return


def _whole(frame: Frame, data: Data, columns: Columns) -> RawData:
    label = frame.columns[data.label]
    arrays: dict[str, np.ndarray] = {
        "inputs": np.ascontiguousarray(
            np.concatenate(
                [
                    one.encode(list(frame.columns[one.name].words))[frame.columns[one.name].codes]
                    for one in columns.columns
                ],
                axis=1,
            )
        )
    }
    told: dict[str, Any] = {
        "label": data.label,
        "protected": list(data.protected),
        "missing": list(data.missing),
    }
    classes: list[str] = []
    if task_of(label, data) == "classification":
        classes = ordered(label.words)
        arrays["labels"] = _indices(label, classes)
    else:
        numbers = np.array([quantity(word) for word in label.words], dtype=np.float64)[label.codes]
        arrays["targets"] = numbers.astype(np.float32)
        told |= {"mean": float(numbers.mean()), "deviation": float(numbers.std())}
    protected = {}
    for name in data.protected:
        values = frame.columns[name]
        groups = ordered(word for word in values.words if word)
        protected[name] = (*groups, UNKNOWN) if "" in values.words else tuple(groups)
        named = Values([word or UNKNOWN for word in values.words], values.codes)
        arrays[key(name)] = _indices(named, protected[name])
    fixed = [
        feature
        for column in columns.columns
        for feature in column.features
        if column.kind == "category" or feature != column.name
    ]
    inputs: dict[str, Any] = {
        "shape": [len(columns.features)],
        "low": 0.0,
        "high": 1.0,
        "kind": "tabular",
        "features": list(columns.features),
        "columns": columns.to_json(),
        "table": told,
    }
    if len(fixed) < len(columns.features):  # of words alone, nothing would be left to change
        inputs["categorical"] = fixed
    description = Description(
        task="regression" if "targets" in arrays else "classification",
        classes=tuple(classes),
        inputs=inputs,
        protected=protected,
        seed=data.seed,
    )
    return RawData(description=description, arrays=arrays)


def _indices(values: Values, names: Sequence[str]) -> np.ndarray:
    """(N,): where each row's value stands among the names."""
    places = {name: place for place, name in enumerate(names)}
    found: np.ndarray = np.array([places[word] for word in values.words], dtype=np.int64)[
        values.codes
    ]
    return found
