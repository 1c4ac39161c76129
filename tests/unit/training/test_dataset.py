"""Datasets: splits are disjoint and stratified, files come back equal, bad ones are named."""

import dataclasses

import numpy as np
import pytest

from touchstone.training import dataset
from touchstone.training.spec import Description, RawData
from trust_gates.inputs import dataset as gates


def raw(count=400, **changes):
    generator = np.random.default_rng(1)
    arrays = {
        "inputs": np.arange(count, dtype=np.float32)[:, None] / count,
        "labels": (generator.random(count) < 0.3).astype(np.int64),
        "protected_sex": (generator.random(count) < 0.4).astype(np.int64),
    }
    description = Description(
        task="classification",
        classes=("no", "yes"),
        inputs={"shape": [1], "low": 0.0, "high": 1.0, "kind": "tabular", "features": ["x"]},
        protected={"sex": ("female", "male")},
        seed=3,
    )
    return RawData(description=description, arrays=arrays | changes)


def test_splits_are_disjoint_and_together_everything():
    splits = dataset.split(raw()).splits
    values = np.concatenate([splits[name]["inputs"][:, 0] for name in dataset.SPLITS])
    assert sorted(values) == sorted(raw().arrays["inputs"][:, 0])


def test_every_split_keeps_the_shares_of_labels_and_groups():
    data = raw()
    for arrays in dataset.split(data).splits.values():
        for name in ("labels", "protected_sex"):
            assert arrays[name].mean() == pytest.approx(data.arrays[name].mean(), abs=0.02)


def test_the_seed_decides_the_split():
    data = raw()
    again = dataset.split(data).splits["test"]["inputs"]
    assert np.array_equal(dataset.split(data).splits["test"]["inputs"], again)
    other = dataclasses.replace(data, description=dataclasses.replace(data.description, seed=4))
    assert not np.array_equal(dataset.split(other).splits["test"]["inputs"], again)


def test_held_out_samples_are_the_test_split_and_nothing_else_is():
    held = (np.arange(400) >= 300).astype(np.int64)
    splits = dataset.split(raw(held_out=held)).splits
    assert np.array_equal(splits["test"]["inputs"], raw().arrays["inputs"][300:])
    assert "held_out" not in splits["test"]


def test_files_come_back_equal_and_byte_for_byte_the_same(tmp_path):
    for name in ("a", "b"):
        dataset.write_raw(tmp_path / name, raw())
    assert (tmp_path / "a/data.npz").read_bytes() == (tmp_path / "b/data.npz").read_bytes()
    dataset.write(tmp_path, dataset.split(dataset.read_raw(tmp_path / "a")))
    back = dataset.read(tmp_path)
    assert back.description.protected == {"sex": ("female", "male")}
    assert np.array_equal(
        back.splits["train"]["labels"], dataset.split(raw()).splits["train"]["labels"]
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": np.zeros((400, 2), np.float32)}, "expected float32"),
        ({"inputs": np.full((400, 1), np.nan, np.float32)}, "NaN .* in 400 of the inputs"),
        ({"inputs": np.full((400, 1), 2, np.float32)}, "expected \\[0.0, 1.0\\]"),
        ({"labels": np.full(400, 2)}, "labels: got values from 2 to 2, expected 0 to 1"),
        ({"labels": np.zeros(400)}, "expected int64"),
        ({"labels": np.zeros(3, np.int64)}, "labels has 3 rows"),
        ({"protected_sex": np.full(400, -1)}, "protected_sex"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        dataset.write_raw(tmp_path, raw(**changes))


def test_a_pickle_among_the_arrays_is_refused(tmp_path):
    dataset.write_raw(tmp_path, raw())
    np.savez(tmp_path / "data.npz", inputs=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="without pickles"):
        dataset.read_raw(tmp_path)


def test_an_absent_or_broken_dataset_is_named(tmp_path):
    with pytest.raises(ValueError, match="is absent"):
        dataset.read(tmp_path)
    (tmp_path / "dataset.json").write_text('{"task": "classification"}')
    with pytest.raises(ValueError, match="'classes' is missing"):
        dataset.read(tmp_path)


def test_a_description_without_bounds_is_refused(tmp_path):
    data = raw()
    described = dataclasses.replace(data.description, inputs={"shape": [1], "low": 0.0})
    with pytest.raises(ValueError, match="load_data: the description of inputs lacks high"):
        dataset.write_raw(tmp_path, dataclasses.replace(data, description=described))


def test_what_training_writes_is_what_the_gates_read(tmp_path):
    written = dataset.split(raw())
    dataset.write(tmp_path, written)
    data = gates.read(tmp_path)
    assert np.array_equal(data.samples.labels, written.splits["test"]["labels"])
    assert data.samples.classes == ("no", "yes") and data.features == ("x",)
    assert data.groups == {"sex": ("female", "male")}
    assert (data.low, data.high, set(data.learned)) == (0.0, 1.0, {"train", "validation"})


def test_a_split_without_samples_is_refused():
    with pytest.raises(ValueError, match="split is empty"):
        dataset.split(raw(4))
    with pytest.raises(ValueError, match="a sum < 1"):
        dataset.split(raw(), validation=0.5, test=0.5)
