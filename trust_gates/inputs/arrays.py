"""The arrays of a dataset: .npz files beside dataset.json, read and held against it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.description import TARGETS, Description

Arrays = Mapping[str, NDArray[Any]]

GROUP = "protected_"


def key(protected: str) -> str:
    """The name of the array that holds a protected attribute."""
    return GROUP + protected


def read(path: Path, description: Description) -> dict[str, NDArray[Any]]:
    """The arrays of one .npz file.

    Raises:
        ValueError: the file is absent or broken, or the arrays do not fit the description.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise ValueError(
            f"{path} is absent; expected a dataset folder as preprocess writes it"
        ) from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}; expected plain numpy arrays without pickles") from None
    check(description, arrays, where=str(path))
    return arrays


def check(description: Description, arrays: Arrays, *, where: str) -> None:
    """Raise ValueError, naming `where`, unless the arrays fit the description."""
    if absent := sorted({"shape", "low", "high"} - set(description.inputs)):
        raise ValueError(f"{where}: the description of inputs lacks {', '.join(absent)}")
    for name in ("inputs", *TARGETS[description.task], *map(key, description.protected)):
        if name not in arrays:
            raise ValueError(f"{where}: array {name!r} is missing; got {sorted(arrays)}")
    inputs = arrays["inputs"]
    shape = tuple(description.inputs["shape"])
    if inputs.dtype != np.float32 or inputs.shape[1:] != shape:
        raise ValueError(
            f"{where}: got inputs {inputs.dtype} {inputs.shape}, expected float32 {('N', *shape)}"
        )
    for name, array in arrays.items():
        if len(array) != len(inputs):
            raise ValueError(f"{where}: {name} has {len(array)} rows, inputs have {len(inputs)}")
    low, high = float(description.inputs["low"]), float(description.inputs["high"])
    # Written so that a NaN fails: every comparison with it is false.
    if len(inputs) and not (inputs.min() >= low and inputs.max() <= high):
        raise ValueError(
            f"{where}: got inputs from {inputs.min()} to {inputs.max()}, expected [{low}, {high}]"
        )
    for name, values in description.protected.items():
        _check_indices(arrays[key(name)], 0, len(values), f"{where}: {key(name)}")
    if description.task == "classification":
        _check_indices(arrays["labels"], 0, len(description.classes), f"{where}: labels")
    else:
        _check_boxes(description, arrays, where)
    if "held_out" in arrays:
        _check_indices(arrays["held_out"], 0, 2, f"{where}: held_out")


def _check_boxes(description: Description, arrays: Arrays, where: str) -> None:
    boxes, labels = arrays["boxes"], arrays["box_labels"]
    _check_indices(labels, -1, len(description.classes), f"{where}: box_labels")
    if boxes.dtype != np.float32 or boxes.shape != (*labels.shape, 4):
        raise ValueError(
            f"{where}: got boxes {boxes.dtype} {boxes.shape}, "
            f"expected float32 {(*labels.shape, 4)} as box_labels has {labels.shape}"
        )
    real = boxes[labels >= 0]
    if not (np.isfinite(real).all() and (real[:, 2:] > real[:, :2]).all()):
        raise ValueError(f"{where}: a box is empty or not finite; expected x1 < x2 and y1 < y2")


def _check_indices(array: NDArray[Any], low: int, stop: int, where: str) -> None:
    if array.dtype != np.int64:
        raise ValueError(f"{where}: got {array.dtype}, expected int64")
    if array.size and (array.min() < low or array.max() >= stop):
        raise ValueError(
            f"{where}: got values from {array.min()} to {array.max()}, expected {low} to {stop - 1}"
        )
