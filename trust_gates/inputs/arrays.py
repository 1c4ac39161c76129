"""The arrays of a dataset: .npz files beside dataset.json, read and held against it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.inputs.description import DTYPES, TARGETS, WORDS, Description

Arrays = Mapping[str, NDArray[Any]]

GROUP = "protected_"
RAW = "raw"
"""The array of raw values, and the key of the inputs' description that says what they are."""


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
    if description.dtype == "int64" and low < 0:
        yield f"got low {low} of tokens, expected indices from 0"
    if WORDS in description.inputs and len(description.inputs[WORDS]) != high + 1:
        words = len(description.inputs[WORDS])
        yield f"got {words} words of the {WORDS} for tokens up to {high:g}, expected {high + 1:g}"
    if inputs.dtype != description.dtype or inputs.shape[1:] != shape:
        expected = f"{description.dtype} {('N', *shape)}"
        yield f"got inputs {inputs.dtype} {inputs.shape}, expected {expected}"
        return
    uneven = [name for name, array in arrays.items() if array.shape[:1] != inputs.shape[:1]]
    for name in uneven:
        rows = len(arrays[name]) if arrays[name].ndim else "no"
        yield f"{name} has {rows} rows, inputs have {len(inputs)}"
    if inputs.dtype.kind == "f" and not (known := np.isfinite(inputs)).all():
        yield _not_known(known, description)
    # Written so that a NaN fails: every comparison with it is false.
    elif len(inputs) and not (inputs.min() >= low and inputs.max() <= high):
        yield f"got inputs from {inputs.min()} to {inputs.max()}, expected [{low}, {high}]"
    for name, values in description.protected.items():
        yield from _not_indices(arrays[key(name)], 0, len(values), key(name))
    if description.task == "classification":
        yield from _not_indices(arrays["labels"], 0, len(description.classes), "labels")
    elif description.task == "regression":
        yield from _not_numbers(arrays["targets"], "targets")
    else:
        yield from _not_boxes(description, arrays)
    if RAW in arrays:
        yield from _not_raw(description.inputs, arrays[RAW])
    if "held_out" in arrays:
        yield from _not_indices(arrays["held_out"], 0, 2, "held_out")


def unlike(described: Mapping[str, Any], inputs: object, rows: int) -> str:
    """What of `inputs`, which should be (rows, ...), does not fit; empty where all does.

    Args:
        described: the `inputs` of a dataset's description.
    """
    kind = str(described.get("dtype", DTYPES[0]))
    shape = (rows, *map(int, described["shape"]))
    low, high = float(described["low"]), float(described["high"])
    if not isinstance(inputs, np.ndarray):
        return f"got a {type(inputs).__name__}, expected a numpy array, {kind} {shape}"
    if inputs.dtype != kind or inputs.shape != shape:
        return f"got {inputs.dtype} {inputs.shape}, expected {kind} {shape}"
    if inputs.size and not (inputs.min() >= low and inputs.max() <= high):
        return f"got values from {inputs.min()} to {inputs.max()}, expected [{low:g}, {high:g}]"
    return ""


def values_of(described: Mapping[str, Any], raw: NDArray[Any]) -> list[Any]:
    """Raw values (N,) as a model's `encode` is given them.

    Args:
        described: the `inputs` of a dataset's description.

    Raises:
        ValueError: they are to be JSON, and one is not.
    """
    return [json.loads(one) if described.get(RAW) == "json" else one for one in raw.tolist()]


def differing(encoded: NDArray[Any], inputs: NDArray[Any]) -> NDArray[np.bool_]:
    """(N,): the rows of encoded values that are not `inputs`, but for what float32 rounds."""
    same = encoded == inputs
    if inputs.dtype.kind == "f":
        same |= np.isclose(encoded, inputs, rtol=1e-5, atol=1e-6)
    found: NDArray[np.bool_] = ~same.reshape(len(inputs), -1).all(axis=1)
    return found


def _not_raw(described: Mapping[str, Any], raw: NDArray[Any]) -> Iterator[str]:
    if described.get(RAW, "text") not in ("text", "json"):
        yield f"got {RAW} {described[RAW]!r} of the inputs, expected 'text' or 'json'"
    elif raw.dtype.kind != "U" or raw.ndim != 1:
        yield f"{RAW}: got {raw.dtype} {raw.shape}, expected texts (N,), as np.array([...]) makes"
    else:
        try:
            values_of(described, raw)
        except (ValueError, RecursionError) as error:
            yield f"{RAW}: got a value that is no JSON ({error}), expected json.dumps of each value"


def _not_known(known: NDArray[np.bool_], description: Description) -> str:
    """Where inputs are no numbers, in words."""
    row, *place = np.argwhere(~known)[0].tolist()
    features = list(description.inputs.get("features", ()))
    at = f"feature {features[place[0]]!r}" if len(place) == 1 and features else f"place {place}"
    return (
        f"got NaN or infinity in {(~known).sum():,} of the inputs, first in sample {row} at {at};"
        " expected numbers"
    )


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
