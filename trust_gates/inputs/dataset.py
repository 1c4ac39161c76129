"""Labelled samples from a dataset folder (dataset.json beside .npz files) or from a CSV file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs import arrays as files
from trust_gates.inputs import csv_file
from trust_gates.inputs.arrays import RAW, Arrays, key, values_of
from trust_gates.inputs.csv_file import LABEL, declared_of, features_of, groups_of, targets_of
from trust_gates.inputs.description import Description
from trust_gates.inputs.table import UNKNOWN, Columns, Source, columns_of, quantity, shown
from trust_gates.named import ordered
from trust_gates.reach import Reach
from trust_gates.samples import Boxes, Samples, Task
from trust_gates.spread import spread


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """What a model is judged on, and what it learned from where that is known."""

    samples: Samples
    low: float
    """The least value that an input can have."""

    high: float
    features: tuple[str, ...] = ()
    """Names of an input's values, where they have some."""

    columns: tuple[str, ...] = ()
    """The column of a table that each of them is of, where rows are encoded."""

    reach: Reach | None = None
    """What an attacker may change, where the dataset limits it."""

    learned: Mapping[str, Samples] = field(default_factory=dict)
    """The training and validation splits, by name, where they are known."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The declared values of each protected attribute, where they are declared."""

    @property
    def spread(self) -> NDArray[np.float64]:
        """How far each value of an input varies."""
        return spread(self.samples.inputs, self.low, self.high)


def read(path: Path, learned: Description | None = None, *, task: Task = "classification") -> Data:
    """The dataset at `path`: a folder as `preprocess` writes it, or a CSV file with a header.

    A CSV has a column `label`, of a regression its true numbers; columns `protected_<name>` are
    groups only; every other column is a feature, and a group too where it has few values.

    Args:
        learned: what the model learned from. Where that was a table, a CSV has its columns as they
            were typed there, gaps too, and is encoded as it was; others are groups alone.
        task: what a CSV's labels are of, where `learned` does not say it; a folder says itself.

    Raises:
        ValueError: it is neither, or a part of it is absent or malformed.
    """
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == ".csv":
        columns = None if learned is None else Columns.of(learned.inputs)
        if learned is None or columns is None:
            return _csv(path, task if learned is None else learned.task)
        return _rows(path, learned, columns)
    raise ValueError(f"got {path}, expected a dataset folder with dataset.json, or a .csv file")


def samples_of(
    arrays: Arrays,
    *,
    task: str,
    classes: Sequence[str],
    protected: Mapping[str, Sequence[str]],
    inputs: Mapping[str, Any] | None = None,
) -> Samples:
    """One split of a dataset; the arrays are those of a folder's .npz file.

    Args:
        inputs: those of the description, where raw values are wanted too.
    """
    objects = None
    if task == "detection":
        objects = [
            Boxes(boxes=boxes[labels >= 0], labels=labels[labels >= 0])
            for boxes, labels in zip(arrays["boxes"], arrays["box_labels"], strict=True)
        ]
    return Samples(
        inputs=arrays["inputs"],
        classes=classes,
        labels=arrays["labels"] if task == "classification" else None,
        targets=arrays["targets"] if task == "regression" else None,
        objects=objects,
        raw=None if inputs is None or RAW not in arrays else values_of(inputs, arrays[RAW]),
        groups={name: np.array(v)[arrays[key(name)]] for name, v in protected.items()},
    )


def _folder(folder: Path) -> Data:
    described = Description.read(folder)

    def samples(split: str) -> Samples:
        return samples_of(
            files.read(folder / f"{split}.npz", described),
            task=described.task,
            classes=described.classes,
            protected=described.protected,
            inputs=described.inputs,
        )

    return Data(
        samples=samples("test"),
        low=float(described.inputs["low"]),
        high=float(described.inputs["high"]),
        features=tuple(described.inputs.get("features", ())),
        columns=columns_of(described.inputs),
        reach=Reach.described(described.inputs),
        learned={
            name: samples(name)
            for name in ("train", "validation")
            if (folder / f"{name}.npz").is_file()
        },
        groups=described.protected,
    )


def _rows(path: Path, learned: Description, columns: Columns) -> Data:
    """A CSV with the columns of the table that a model learned from."""
    inputs = learned.inputs
    table = Source.of(inputs)
    label, protected = table.label, set(table.protected)
    frame = csv_file.read(path, {*columns.names, label}).map(str.strip)
    frame = frame.replace(dict.fromkeys(table.missing, ""))
    try:
        encoded = columns.encode(frame.to_dict("records"), ignored=frame.columns)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; row 1 is the first after the header") from None
    truth = frame[label].to_numpy(dtype=object)
    places = {name: place for place, name in enumerate(learned.classes)}
    fits = np.array(
        [
            quantity(one) is not None if learned.task == "regression" else one in places
            for one in truth
        ]
    )
    if not fits.all():
        row = int((~fits).argmax())
        asked = "a number" if learned.task == "regression" else f"one of {list(learned.classes)}"
        raise ValueError(f"{path}:{row + 2}: got the label {shown(truth[row])}, expected {asked}")
    numbers = {one.name for one in columns.columns if one.kind == "number"} - protected
    others = frame.drop(columns=[label, *numbers]).replace("", UNKNOWN)
    groups = groups_of(path, others)
    return Data(
        samples=Samples(
            inputs=encoded,
            classes=learned.classes,
            labels=None
            if learned.task == "regression"
            else np.array([places[one] for one in truth], dtype=np.int64),
            targets=truth.astype(np.float32) if learned.task == "regression" else None,
            groups=groups,
            declared=tuple(name for name in groups if name in {*declared_of(frame), *protected}),
        ),
        low=float(inputs["low"]),
        high=float(inputs["high"]),
        features=columns.features,
        columns=columns.sources,
        reach=Reach.described(inputs),
        groups=learned.protected,
    )


def _csv(path: Path, task: Task) -> Data:
    frame = csv_file.complete(path)
    columns = features_of(path, frame)
    inputs = columns.to_numpy(dtype=np.float32)
    truth: Any
    if task == "regression":
        truth = {"classes": (), "targets": targets_of(path, frame)}
    else:
        classes = ordered(frame[LABEL])
        labels = frame[LABEL].map(classes.index).to_numpy(dtype=np.int64)
        truth = {"classes": classes, "labels": labels}
    return Data(
        samples=Samples(
            inputs=inputs,
            **truth,
            groups=groups_of(path, frame),
            declared=declared_of(frame),
        ),
        low=float(inputs.min()),
        high=float(inputs.max()),
        features=tuple(map(str, columns.columns)),
        reach=Reach.of_rows(inputs),
    )
