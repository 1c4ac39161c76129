"""Labelled samples from a dataset folder (dataset.json beside .npz files) or from a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs import arrays as files
from trust_gates.inputs.arrays import GROUP, Arrays, key
from trust_gates.inputs.description import Description
from trust_gates.reach import Reach
from trust_gates.samples import Boxes, Samples

if TYPE_CHECKING:
    import pandas as pd

LABEL = "label"
_MOST_GROUPS = 64
"""A column with more different values than this is no group of people."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """What a model is judged on, and what it learned from where that is known."""

    samples: Samples
    low: float
    """The least value that an input can have."""

    high: float
    features: tuple[str, ...] = ()
    """Names of an input's values, where they have some."""

    reach: Reach | None = None
    """What an attacker may change, where the dataset limits it."""

    learned: Mapping[str, Samples] = field(default_factory=dict)
    """The training and validation splits, by name, where they are known."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The declared values of each protected attribute, where they are declared."""


def read(path: Path) -> Data:
    """The dataset at `path`: a folder as `preprocess` writes it, or a CSV file with a header.

    A CSV has a column `label`; columns `protected_<name>` are groups only; every other column is a
    feature, and a group too where it has few values.

    Raises:
        ValueError: it is neither, or a part of it is absent or malformed.
    """
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == ".csv":
        return _csv(path)
    raise ValueError(f"got {path}, expected a dataset folder with dataset.json, or a .csv file")


def samples_of(
    arrays: Arrays,
    *,
    task: str,
    classes: Sequence[str],
    protected: Mapping[str, Sequence[str]],
) -> Samples:
    """One split of a dataset; the arrays are those of a folder's .npz file."""
    objects = None
    if task == "detection":
        objects = [
            Boxes(boxes=boxes[labels >= 0], labels=labels[labels >= 0])
            for boxes, labels in zip(arrays["boxes"], arrays["box_labels"], strict=True)
        ]
    return Samples(
        inputs=arrays["inputs"],
        classes=classes,
        labels=None if objects is not None else arrays["labels"],
        objects=objects,
        groups={name: np.array(v)[arrays[key(name)]] for name, v in protected.items()},
    )


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file with a header and a column `label`, without gaps.

    Raises:
        ValueError: it is no CSV, it has no rows, no labels, or a value is missing.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"{path}: {error}; expected a CSV file with a header") from None
    if LABEL not in frame.columns:
        raise ValueError(
            f"{path}: got the columns {list(map(str, frame.columns))}, expected one named {LABEL!r}"
        )
    if not len(frame):
        raise ValueError(f"{path}: got a header without rows, expected at least one sample")
    gaps = frame.columns[frame.isna().any()]
    if len(gaps):
        row = int(frame[gaps[0]].isna().to_numpy().argmax()) + 2
        raise ValueError(f"{path}:{row}: the value of {gaps[0]!r} is missing")
    return frame


def groups_of(frame: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    """Every column that could be a protected attribute, by its name without `protected_`."""
    return {
        str(name).removeprefix(GROUP): frame[name].astype(str).to_numpy(dtype=np.str_)
        for name in frame.columns
        if name != LABEL and (str(name).startswith(GROUP) or frame[name].nunique() <= _MOST_GROUPS)
    }


def declared_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Names of the attributes that a CSV's columns declare as protected."""
    return tuple(
        str(name).removeprefix(GROUP) for name in frame.columns if str(name).startswith(GROUP)
    )


def _folder(folder: Path) -> Data:
    described = Description.read(folder)

    def samples(split: str) -> Samples:
        return samples_of(
            files.read(folder / f"{split}.npz", described),
            task=described.task,
            classes=described.classes,
            protected=described.protected,
        )

    return Data(
        samples=samples("test"),
        low=float(described.inputs["low"]),
        high=float(described.inputs["high"]),
        features=tuple(described.inputs.get("features", ())),
        reach=Reach.described(described.inputs),
        learned={
            name: samples(name)
            for name in ("train", "validation")
            if (folder / f"{name}.npz").is_file()
        },
        groups=described.protected,
    )


def _csv(path: Path) -> Data:
    frame = read_csv(path)
    features = frame.drop(
        columns=[name for name in frame.columns if name == LABEL or str(name).startswith(GROUP)]
    )
    words = [str(name) for name in features.columns if features[name].dtype.kind not in "iufb"]
    if words or not len(features.columns):
        raise ValueError(
            f"{path}: got columns that are no numbers {words}, expected numeric features; "
            f"name a column of groups {GROUP}<name>, and encode other words as numbers"
        )
    classes, labels = np.unique(frame[LABEL].to_numpy(), return_inverse=True)
    inputs = features.to_numpy(dtype=np.float32)
    return Data(
        samples=Samples(
            inputs=inputs,
            classes=list(map(str, classes)),
            labels=labels,
            groups=groups_of(frame),
            declared=declared_of(frame),
        ),
        low=float(inputs.min()),
        high=float(inputs.max()),
        features=tuple(map(str, features.columns)),
    )
