"""The arrays of a dataset: .npz files beside dataset.json, read and held against it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.description import DTYPES, TARGETS, Description

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
    for problem in misfits(description, arrays):
        raise ValueError(f"{where}: {problem}")


def misfits(description: Description, arrays: Arrays) -> Iterator[str]:
    """What of the arrays does not fit the description."""
    if absent := sorted({"shape", "low", "high"} - set(description.inputs)):
        yield f"the description of inputs lacks {', '.join(absent)}"
        return
    needed = ("inputs", *TARGETS[description.task], *map(key, description.protected))
    if missing := [name for name in needed if name not in arrays]:
        yield from (f"array {name!r} is missing; got {sorted(arrays)}" for name in missing)
        return
    inputs, (low, high) = arrays["inputs"], (description.inputs[name] for name in ("low", "high"))
    try:
        shape, low, high = tuple(map(int, description.inputs["shape"])), float(low), float(high)
    except (TypeError, ValueError):
        yield "got no numbers as shape, low and high of the inputs, expected such as [10], 0.0, 1.0"
        return
    if not low < high:
        yield f"got low {low} and high {high} of the inputs, expected low < high"
    if description.dtype not in DTYPES:
        yield f"got the dtype {description.dtype} of the inputs, expected {' or '.join(DTYPES)}"
        return
    if inputs.dtype != description.dtype or inputs.shape[1:] != shape:
        expected = f"{description.dtype} {('N', *shape)}"
        yield f"got inputs {inputs.dtype} {inputs.shape}, expected {expected}"
        return
    uneven = [name for name, array in arrays.items() if array.shape[:1] != inputs.shape[:1]]
    for name in uneven:
        rows = len(arrays[name]) if arrays[name].ndim else "no"
        yield f"{name} has {rows} rows, inputs have {len(inputs)}"
    # Written so that a NaN fails: every comparison with it is false.
    if len(inputs) and not (inputs.min() >= low and inputs.max() <= high):
        yield f"got inputs from {inputs.min()} to {inputs.max()}, expected [{low}, {high}]"
    for name, values in description.protected.items():
        yield from _not_indices(arrays[key(name)], 0, len(values), key(name))
    if description.task == "classification":
        yield from _not_indices(arrays["labels"], 0, len(description.classes), "labels")
    elif description.task == "regression":
        yield from _not_numbers(arrays["targets"], "targets")
        if description.classes:
            yield f"got the classes {list(description.classes)} of a regression, expected none: ()"
    else:
        yield from _not_boxes(description, arrays)
    if "held_out" in arrays:
        yield from _not_indices(arrays["held_out"], 0, 2, "held_out")


def _not_boxes(description: Description, arrays: Arrays) -> Iterator[str]:
    boxes, labels = arrays["boxes"], arrays["box_labels"]
    yield from _not_indices(labels, -1, len(description.classes), "box_labels", dimensions=2)
    if boxes.dtype != np.float32 or boxes.shape != (*labels.shape, 4):
        yield (
            f"got boxes {boxes.dtype} {boxes.shape}, "
            f"expected float32 {(*labels.shape, 4)} as box_labels has {labels.shape}"
        )
        return
    real = boxes[labels >= 0]
    if not (np.isfinite(real).all() and (real[:, 2:] > real[:, :2]).all()):
        yield "a box is empty or not finite; expected x1 < x2 and y1 < y2"


def _not_numbers(array: NDArray[Any], name: str) -> Iterator[str]:
    if array.dtype != np.float32 or array.ndim != 1:
        yield f"{name}: got {array.dtype} {array.shape}, expected float32 (N,)"
    elif not np.isfinite(array).all():
        yield f"{name}: got NaN or infinity, expected finite numbers"


def _not_indices(
    array: NDArray[Any], low: int, stop: int, name: str, *, dimensions: int = 1
) -> Iterator[str]:
    if array.dtype != np.int64 or array.ndim != dimensions:
        shape = "(N,)" if dimensions == 1 else "(N, M)"
        yield f"{name}: got {array.dtype} {array.shape}, expected int64 {shape}"
    elif array.size and (array.min() < low or array.max() >= stop):
        values = f"values from {array.min()} to {array.max()}"
        yield f"{name}: got {values}, expected {low} to {stop - 1}"
