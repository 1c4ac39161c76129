"""Datasets as files: dataset.json beside .npz arrays; checked when read, split by strata."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from touchstone.training.spec import Batch, Description, RawData
from trust_gates.inputs.dataset import samples_of
from trust_gates.samples import Samples

if TYPE_CHECKING:
    import torch

Arrays = Mapping[str, np.ndarray]

SPLITS = ("train", "validation", "test")
PRIVILEGED, WEIGHTS = "privileged", "weights"
"""Arrays that a mitigation adds to the training split; never stored."""

_PROTECTED = "protected_"
_TARGETS = {"classification": ("labels",), "detection": ("boxes", "box_labels")}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset split in `train`, `validation` and `test`."""

    description: Description
    splits: Mapping[str, Arrays]

    def samples(self, split: str = "test") -> Samples:
        """A split as the gates see it; by default that of which nothing was trained or tuned on."""
        return samples_of(
            self.splits[split],
            task=self.description.task,
            classes=self.description.classes,
            protected=self.description.protected,
        )


def batch_of(arrays: Arrays, rows: np.ndarray | slice, device: str = "cpu") -> Batch:
    """The given rows as tensors on `device`, images in channels-last memory order."""
    import torch

    def tensor(name: str) -> torch.Tensor | None:
        if name not in arrays:
            return None
        value = torch.from_numpy(arrays[name][rows]).to(device)
        return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value

    inputs = tensor("inputs")
    if inputs is None:
        raise ValueError("got arrays without 'inputs'; check them first")
    return Batch(
        inputs=inputs,
        labels=tensor("labels"),
        boxes=tensor("boxes"),
        box_labels=tensor("box_labels"),
        privileged=tensor(PRIVILEGED),
        weights=tensor(WEIGHTS),
    )


def write_raw(folder: Path, data: RawData) -> None:
    """Write data.npz and dataset.json, after checking that they fit together.

    Raises:
        ValueError: the arrays do not fit the description.
    """
    check(data.description, data.arrays, where="load_data")
    folder.mkdir(parents=True, exist_ok=True)
    _write_npz(folder / "data.npz", data.arrays)
    _write_description(folder, data.description)


def read_raw(folder: Path) -> RawData:
    """The inverse of `write_raw`.

    Raises:
        ValueError: a file is absent or broken, or the arrays do not fit the description.
    """
    description = read_description(folder)
    arrays = _read_npz(folder / "data.npz")
    check(description, arrays, where=str(folder / "data.npz"))
    return RawData(description=description, arrays=arrays)


def write(folder: Path, dataset: Dataset) -> None:
    """Write train.npz, validation.npz, test.npz and dataset.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in dataset.splits.items():
        _write_npz(folder / f"{name}.npz", arrays)
    _write_description(folder, dataset.description)


def read(folder: Path, splits: tuple[str, ...] = SPLITS) -> Dataset:
    """The dataset in `folder`, or only some splits of it.

    Raises:
        ValueError: a file is absent or broken, or the arrays do not fit the description.
    """
    description = read_description(folder)
    loaded = {}
    for name in splits:
        path = folder / f"{name}.npz"
        loaded[name] = _read_npz(path)
        check(description, loaded[name], where=str(path))
    return Dataset(description, loaded)


def read_description(folder: Path) -> Description:
    """dataset.json of a folder.

    Raises:
        ValueError: it is absent, broken, or a key is missing.
    """
    path = folder / "dataset.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        description = Description(
            task=document["task"],
            classes=tuple(document["classes"]),
            inputs=document["inputs"],
            protected={name: tuple(values) for name, values in document["protected"].items()},
            seed=int(document["seed"]),
        )
    except FileNotFoundError:
        raise ValueError(f"{path} is absent; expected a dataset that a stage wrote") from None
    except KeyError as error:
        raise ValueError(
            f"{path}: key {error} is missing; expected task, classes, inputs, protected, seed"
        ) from None
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}; expected a JSON object as a stage wrote it") from None
    if description.task not in _TARGETS:
        raise ValueError(f"{path}: got task {description.task!r}, expected {' or '.join(_TARGETS)}")
    return description


def split(data: RawData, *, draw: int = 0, validation: float = 0.15, test: float = 0.25) -> Dataset:
    """Split into disjoint train, validation and test, stratified by protected values and label.

    The seed is the description's. Where the data has `held_out`, those samples are the test
    split and the rest is divided, so `test` is not used.

    Args:
        draw: another number draws other splits from the same seed.
        validation: share of the samples, 0 to 1.
        test: share of the samples, 0 to 1.

    Raises:
        ValueError: the shares leave nothing to train on, or a split comes out empty.
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(
            f"got shares validation={validation} test={test}, expected both >= 0 and a sum < 1"
        )
    check(data.description, data.arrays, where="raw data")
    seed = data.description.seed
    generator = np.random.default_rng([seed, draw] if draw else seed)
    held = data.arrays.get("held_out")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    strata = _strata(data)
    for stratum in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == stratum))
        if held is not None:
            kept, rows = rows[held[rows] == 1], rows[held[rows] != 1]
            share_validation = validation
        else:
            count = round(len(rows) * test)
            kept, rows = rows[:count], rows[count:]
            share_validation = validation / (1 - test)
        count = round(len(rows) * share_validation)
        parts["test"].append(kept)
        parts["validation"].append(rows[:count])
        parts["train"].append(rows[count:])
    splits = {}
    for name in SPLITS:
        rows = np.sort(np.concatenate(parts[name]))
        if not len(rows):
            raise ValueError(
                f"the {name} split is empty: got {len(strata)} samples with "
                f"validation={validation} test={test}; give more data or other shares"
            )
        splits[name] = {key: a[rows] for key, a in data.arrays.items() if key != "held_out"}
    return Dataset(data.description, splits)


def check(description: Description, arrays: Arrays, *, where: str) -> None:
    """Raise ValueError, naming `where`, unless the arrays fit the description."""
    for name in ("inputs", *_TARGETS[description.task], *map(_key, description.protected)):
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
        _check_indices(arrays[_key(name)], 0, len(values), f"{where}: {_key(name)}")
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


def _check_indices(array: np.ndarray, low: int, stop: int, where: str) -> None:
    if array.dtype != np.int64:
        raise ValueError(f"{where}: got {array.dtype}, expected int64")
    if array.size and (array.min() < low or array.max() >= stop):
        raise ValueError(
            f"{where}: got values from {array.min()} to {array.max()}, expected {low} to {stop - 1}"
        )


def _strata(data: RawData) -> np.ndarray:
    """One number per sample; equal where protected values (and the label) are equal."""
    names = [_key(name) for name in sorted(data.description.protected)]
    if data.description.task == "classification":
        names.append("labels")
    columns = [data.arrays[name] for name in names] or [np.zeros(len(data.arrays["inputs"]))]
    groups: np.ndarray = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].reshape(-1)
    return groups


def _key(protected: str) -> str:
    return _PROTECTED + protected


def _write_description(folder: Path, description: Description) -> None:
    text = json.dumps(description.to_json(), indent=2, sort_keys=True, allow_nan=False)
    (folder / "dataset.json").write_text(text + "\n")


def _write_npz(path: Path, arrays: Arrays) -> None:
    # numpy.savez stamps no time into the archive: equal arrays give equal bytes and digests.
    np.savez(path, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise ValueError(f"{path} is absent; expected a dataset that a stage wrote") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}; expected .npz arrays without pickles") from None
