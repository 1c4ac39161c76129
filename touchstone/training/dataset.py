"""Datasets of training: written as the gates read them, split by strata, given out in batches."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from touchstone.training.spec import Batch, Description, RawData
from trust_gates.inputs import arrays as files
from trust_gates.inputs.arrays import Arrays, check, key
from trust_gates.inputs.dataset import samples_of
from trust_gates.inputs.description import FILE
from trust_gates.samples import Samples

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")
PRIVILEGED, WEIGHTS = "privileged", "weights"
"""Arrays that a mitigation adds to the training split; never stored."""


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
            inputs=self.description.inputs,
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
        targets=tensor("targets"),
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
    description, path = Description.read(folder), folder / "data.npz"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise ValueError(f"{path}: got compressed arrays, expected them as write_raw does")
    return RawData(description=description, arrays=files.read(path, description))


def unread(said: Description) -> str:
    """What is wrong with a description that no table was read for; empty where nothing is.

    Rows that clients send are encoded by its columns, and only of a table are the judged inputs
    known to be so too.
    """
    if "columns" not in said.inputs:
        return ""
    return (
        "got columns in the description of inputs, expected none from load_data: nothing says that"
        " its inputs are encoded by them; name the table's label in spec.data.label, or write an"
        " `encode` of raw values"
    )


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
    description = Description.read(folder)
    loaded = {name: files.read(folder / f"{name}.npz", description) for name in splits}
    return Dataset(description, loaded)


def learned_from(folder: Path) -> Path:
    """`folder` of a dataset without the test split: who is judged on it must not learn it."""
    (folder / "test.npz").unlink()
    return folder


def split(data: RawData, *, draw: int = 0, validation: float = 0.15, test: float = 0.25) -> Dataset:
    """Split into disjoint train, validation and test, stratified by protected values and label,
    or by quarters of the targets.

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


def _strata(data: RawData) -> np.ndarray:
    """One number per sample; equal where protected values (and the label, or the quarter of the
    targets) are equal."""
    names = [key(name) for name in sorted(data.description.protected)]
    if data.description.task == "classification":
        names.append("labels")
    columns = [data.arrays[name] for name in names]
    if data.description.task == "regression":
        targets = data.arrays["targets"]
        columns.append(np.searchsorted(np.quantile(targets, [0.25, 0.5, 0.75]), targets))
    columns = columns or [np.zeros(len(data.arrays["inputs"]))]
    groups: np.ndarray = np.unique(np.stack(columns), axis=1, return_inverse=True)[1].reshape(-1)
    return groups


def _write_description(folder: Path, description: Description) -> None:
    text = json.dumps(description.to_json(), indent=2, sort_keys=True, allow_nan=False)
    (folder / FILE).write_text(text + "\n")


def _write_npz(path: Path, arrays: Arrays) -> None:
    # numpy.savez stamps no time into the archive: equal arrays give equal bytes and digests.
    np.savez(path, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
