"""A CSV of predictions as a model: it can be asked only about the samples it has answered.

Enough for the gates that look at answers (quality, fairness); the model itself is not needed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs import csv_file
from trust_gates.inputs.csv_file import LABEL, declared_of, groups_of, targets_of
from trust_gates.named import ordered, same_number, some
from trust_gates.samples import Samples, Task
from trust_gates.target import Recorded

if TYPE_CHECKING:
    import pandas as pd

PREDICTION = "prediction"
PROBABILITY = "probability_"
_LEAST = 1e-12
"""A probability of 0 has no logarithm."""

_MOST_ROWS = 1 << 24
"""Row numbers beyond this are not whole in float32, which is how a target is asked."""

_Answers = tuple[list[str], NDArray[np.int64], NDArray[np.float64]]
"""Classes, true class by row, and the share given to each class by row."""


def read(path: Path, *, task: Task = "classification") -> tuple[Recorded, Samples]:
    """The recorded answers, and the samples they are about.

    Columns: `label`; `prediction`, or `probability_<class>` for every class; all others are groups.
    Of a regression, `label` and `prediction` are numbers.

    Raises:
        ValueError: a column is absent, a class has no probability, or a value is not one.
    """
    frame = csv_file.complete(path)
    if len(frame) > _MOST_ROWS:
        raise ValueError(f"{path}: got {len(frame)} rows, expected at most {_MOST_ROWS}")
    if task == "regression":
        return _numbers(path, frame)
    given = [str(name) for name in frame.columns if str(name).startswith(PROBABILITY)]
    if given:
        classes, labels, shares = _by_probability(path, frame, given)
    elif PREDICTION in frame.columns:
        classes, labels, shares = _by_class(path, frame)
    else:
        raise ValueError(
            f"{path}: got the columns {list(map(str, frame.columns))}, expected {PREDICTION!r}, "
            f"or {PROBABILITY}<class> for every class"
        )
    samples = Samples(
        inputs=np.arange(len(frame), dtype=np.float32)[:, None],
        classes=classes,
        labels=labels,
        groups=groups_of(path, frame.drop(columns=[*given, PREDICTION], errors="ignore")),
        declared=declared_of(frame),
    )
    return Recorded(np.log(np.maximum(shares, _LEAST))), samples


def _numbers(path: Path, frame: pd.DataFrame) -> tuple[Recorded, Samples]:
    if PREDICTION not in frame.columns:
        raise ValueError(
            f"{path}: got the columns {list(map(str, frame.columns))}, expected {PREDICTION!r}: "
            "the policy has figures of a regression"
        )
    samples = Samples(
        inputs=np.arange(len(frame), dtype=np.float32)[:, None],
        classes=(),
        targets=targets_of(path, frame),
        groups=groups_of(path, frame.drop(columns=[PREDICTION])),
        declared=declared_of(frame),
    )
    return Recorded(targets_of(path, frame, PREDICTION)[:, None]), samples


def _by_class(path: Path, frame: pd.DataFrame) -> _Answers:
    truth = set(frame[LABEL])
    meant = {said: _class(path, said, truth) for said in set(frame[PREDICTION])}
    classes = ordered([*truth, *meant.values()])
    said = set(meant.values())
    if len(truth) > 1 < len(said) and truth.isdisjoint(said):
        raise ValueError(
            f"{path}: got the predictions {some(sorted(said))} for the labels "
            f"{some(sorted(truth))}, expected a class that is both; write them alike, or ask for "
            "figures of regressions, such as r2, where they are numbers"
        )
    place = {name: index for index, name in enumerate(classes)}
    chosen = frame[PREDICTION].map(lambda said: place[meant[said]]).to_numpy(dtype=np.int64)
    return classes, frame[LABEL].map(place).to_numpy(dtype=np.int64), np.eye(len(classes))[chosen]


def _by_probability(path: Path, frame: pd.DataFrame, given: list[str]) -> _Answers:
    order = {name.removeprefix(PROBABILITY): index for index, name in enumerate(given)}
    meant = {label: _class(path, label, set(order)) for label in set(frame[LABEL])}
    absent = sorted(set(meant.values()) - set(order))
    if absent:
        raise ValueError(
            f"{path}: got the labels {absent}, expected some of the classes {list(order)}"
        )
    labels = frame[LABEL].map(lambda label: order[meant[label]]).to_numpy(dtype=np.int64)
    return list(order), labels, _probabilities(path, frame[given])


def _class(path: Path, text: str, known: Collection[str]) -> str:
    """The known class that a text means: the one of that name, or of that number (1.0 for 1).

    Raises:
        ValueError: it is the number of two, or differs from one only in capitals or spaces.
    """
    if text in known:
        return text
    alike = sorted(same_number(text, known))
    if len(alike) == 1:
        return alike[0]
    alike = alike or sorted(one for one in known if _letters(one) == _letters(text))
    if alike:
        raise ValueError(
            f"{path}: got the class {text!r}, which could be {' or '.join(map(repr, alike))}; "
            "expected each class written in one way"
        )
    return text


def _letters(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _probabilities(path: Path, frame: pd.DataFrame) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = frame.to_numpy(dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; expected probabilities") from None
    wrong = np.flatnonzero(~((values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) < 1e-3)))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{path}:{row + 2}: got the probabilities {values[row].tolist()}, "
            "expected numbers >= 0 with the sum 1"
        )
    return values
