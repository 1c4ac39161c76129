"""Datasets and predictions from files: read exactly, or refused with the place of the fault."""

import json

import numpy as np
import pytest

from trust_gates.inputs import dataset, predictions


def test_a_csv_gives_features_labels_and_groups(csv):
    data = dataset.read(csv("age,sex,label,protected_ward\n0.5,0,no,a\n0.9,1,yes,b\n0.1,0,no,b\n"))
    samples = data.samples
    assert samples.inputs.dtype == np.float32 and samples.inputs.shape == (3, 2)
    assert (list(samples.classes), samples.labels.tolist()) == (["no", "yes"], [0, 1, 0])
    assert samples.groups["ward"].tolist() == ["a", "b", "b"]
    assert samples.groups["sex"].tolist() == ["0", "1", "0"]
    assert (data.low, data.high, data.learned) == (0.0, 1.0, {})


def test_labels_that_are_numbers_are_ordered_as_numbers(csv):
    assert list(dataset.read(csv("x,label\n1,10\n2,9\n")).samples.classes) == ["9", "10"]


def test_a_dataset_folder_gives_its_test_split_and_what_was_learned(tmp_path):
    described = {
        "task": "classification",
        "classes": ["no", "yes"],
        "inputs": {"shape": [4], "low": 0, "high": 5},
        "protected": {"ward": ["a", "b"]},
        "seed": 1,
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    for name, count in (("train", 5), ("validation", 2), ("test", 3)):
        np.savez(
            tmp_path / f"{name}.npz",
            inputs=np.full((count, 4), count, dtype=np.float32),
            labels=np.arange(count) % 2,
            protected_ward=np.arange(count) % 2,
        )
    data = dataset.read(tmp_path)
    assert data.samples.inputs.shape == (3, 4) and set(data.learned) == {"train", "validation"}
    assert sum(map(len, data.learned.values())) == 7
    assert data.samples.groups["ward"].tolist() == ["a", "b", "a"]
    np.savez(tmp_path / "test.npz", inputs=np.full((3, 4), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match=r"test\.npz: array 'labels' is missing"):
        dataset.read(tmp_path)
    (tmp_path / "test.npz").unlink()
    with pytest.raises(ValueError, match=r"test\.npz is absent"):
        dataset.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a CSV file with a header"),
        ("a,b\n1,2\n", "expected one named 'label'"),
        ("a,label\n", "a header without rows"),
        ("a,label\n1,x\n,y\n", r"data\.csv:3: the value of 'a' is missing"),
        ("a,label\nred,x\n", "columns that are no numbers"),
        ("label\nx\n", "expected numeric features"),
    ],
)
def test_a_csv_that_is_no_dataset_is_refused_with_its_fault(csv, text, problem):
    with pytest.raises(ValueError, match=problem):
        dataset.read(csv(text))


def test_a_dataset_of_objects_is_never_unpickled(tmp_path):
    (tmp_path / "dataset.json").write_text(
        '{"task": "classification", "classes": [], "protected": {}, "inputs": {}, "seed": 0}'
    )
    np.savez(tmp_path / "test.npz", inputs=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="expected plain numpy arrays"):
        dataset.read(tmp_path)


@pytest.mark.parametrize("path", ["absent", "data.parquet"])
def test_what_is_neither_folder_nor_csv_is_refused(tmp_path, path):
    with pytest.raises(ValueError, match=r"expected a dataset folder .* or a \.csv file"):
        dataset.read(tmp_path / path)


def test_recorded_classes_are_answered_as_they_were(csv):
    target, samples = predictions.read(csv("label,prediction,sex\n1,1.0,f\n2,1.0,m\n2,2.0,f\n"))
    assert list(samples.classes) == ["1", "2"]
    assert target.answers(samples).argmax(axis=1).tolist() == [0, 0, 1]
    assert samples.labels.tolist() == [0, 1, 1]
    assert set(samples.groups) == {"sex"}


def test_recorded_probabilities_are_kept_whole(csv):
    text = "label,probability_no,probability_yes\nyes,0.25,0.75\nno,1,0\n"
    target, samples = predictions.read(csv(text))
    logits = target.answers(samples)
    assert np.exp(logits) == pytest.approx(np.array([[0.25, 0.75], [1, 0]]), abs=1e-9)
    assert samples.labels.tolist() == [1, 0]
    assert np.isfinite(logits).all()


def test_any_part_of_the_samples_gets_its_own_answers(csv):
    rows = "".join(f"{i % 7},{i % 3}\n" for i in range(1000))
    target, samples = predictions.read(csv("label,prediction\n" + rows))
    some = samples.take(np.array([999, 4, 500]))
    chosen = target.answers(some).argmax(axis=1)
    assert [samples.classes[i] for i in chosen] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label,sex\n1,f\n", "expected 'prediction', or probability_<class>"),
        ("label,probability_a\na,0.4\n", r"data\.csv:2: got the probabilities \[0\.4\]"),
        ("label,probability_a,probability_b\na,1.5,-0.5\n", "expected numbers >= 0 with the sum 1"),
        ("label,probability_a,probability_b\nc,1,0\n", r"got the labels \['c'\]"),
        ("label,probability_a\na,high\n", "expected probabilities"),
        ("label,prediction\ngood,Good\nbad,bad\n", "got the class 'Good', which could be 'good'"),
        ("label,prediction\n1,True\n0,False\n", "expected a class that is both"),
    ],
)
def test_predictions_that_are_none_are_refused(csv, text, problem):
    with pytest.raises(ValueError, match=problem):
        predictions.read(csv(text))
