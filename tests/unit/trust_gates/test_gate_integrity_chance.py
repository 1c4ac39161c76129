"""Equal rows of different people are no leak; rows that were copied are, in the same tables."""

import dataclasses

import numpy as np
import pytest
import tables
from sklearn.datasets import load_digits
from test_gate_integrity import failed, subject
from test_gate_integrity import model as model  # noqa: PLC0414 (a fixture)

from trust_gates import integrity
from trust_gates.integrity import chance, data
from trust_gates.integrity.policy import Integrity
from trust_gates.policy import Check
from trust_gates.samples import Samples


def splits(dataset):
    return {name: dataset.samples(name) for name in dataset.splits}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", tables.TABLES)
def test_a_sound_table_has_no_leak_and_no_near_duplicates(name, seed):
    table = tables.split(name, seed=seed)
    high = table.description.inputs["high"]
    assert data.leaked(splits(table)).items == []
    assert data.near_duplicates(splits(table), 0.0, high).value == 0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", tables.TABLES)
def test_a_tenth_of_the_training_rows_among_the_tested_is_a_leak(name, seed):
    table = tables.leaky(tables.split(name, seed=seed), 0.1, seed=seed)
    high = table.description.inputs["high"]
    assert len(data.leaked(splits(table)).items) >= 10
    assert data.near_duplicates(splits(table), 0.0, high).value > 0.01


def test_the_reason_says_what_chance_gives():
    table = tables.split("compas")
    check = data.leaked(splits(table)).check()
    assert "of 1543 test samples equal a learned one, no more than" in check.reason


def samples(inputs, seed=0):
    labels = np.random.default_rng([7, seed]).integers(0, 2, len(inputs))
    return Samples(inputs=inputs.astype(np.float32), labels=labels, classes=["a", "b"])


def with_copies(train, test, count):
    inputs, labels = test.inputs.copy(), test.labels.copy()
    inputs[:count], labels[:count] = train.inputs[:count], train.labels[:count]
    return {"train": train, "test": dataclasses.replace(test, inputs=inputs, labels=labels)}


def test_one_copied_row_of_measured_values_is_a_leak():
    draw = np.random.default_rng(0)
    rows = np.c_[draw.random(400), draw.integers(0, 2, (400, 3))]
    found = data.leaked(with_copies(samples(rows[:300]), samples(rows[300:]), 1))
    assert found.items == ["test sample 0"]


def test_one_copied_picture_written_as_a_row_is_a_leak():
    digits = load_digits().data / 16
    found = data.leaked(with_copies(samples(digits[:1200]), samples(digits[1200:]), 1))
    assert found.items == ["test sample 0"]


def test_rows_of_one_hot_columns_alone_coincide_by_chance():
    draw = np.random.default_rng(0)
    rows = np.concatenate([np.eye(k)[draw.integers(0, k, 600)] for k in (9, 6, 12)], axis=1)
    assert data.leaked({"train": samples(rows[:450]), "test": samples(rows[450:])}).items == []
    copied = with_copies(samples(rows[:450]), samples(rows[450:]), 60)
    assert len(data.leaked(copied).items) >= 10


@pytest.mark.parametrize("attribute", ["row", "split"])
def test_no_group_that_the_data_declare_excuses_a_leak(attribute):
    found = splits(tables.leaky(tables.split("compas"), 0.1))
    values = {"row": lambda name, count: np.arange(count).astype(str), "split": np.repeat}
    told = {
        name: dataclasses.replace(
            one,
            groups={
                "x": values["row"](name, len(one))
                if attribute == "row"
                else np.full(len(one), name)
            },
        )
        for name, one in found.items()
    }
    assert data.leaked(told).items


def test_one_in_a_thousand_splits_is_called_a_leak_and_no_more():
    """The test is exact: among splits at random its outcomes are as rare as it says."""
    draw = np.random.default_rng(0)
    rows = draw.integers(0, 6, (300, 2)).astype(float)
    labels = draw.integers(0, 2, 300)
    test = np.arange(300) < 75
    refused = [
        not chance.doubles(rows, draw.permutation(test), labels, seed=seed).explained
        for seed in range(20)
    ]
    assert not any(refused)


def test_one_wide_column_does_not_swallow_the_others():
    draw = np.random.default_rng(0)
    gain = np.where(draw.random(2000) < 0.08, draw.integers(100, 99999, 2000), 0)
    rows = np.c_[draw.integers(18, 90, 2000), draw.integers(1, 17, 2000), gain, draw.random(2000)]
    parts = {"train": samples(rows[:1500]), "test": samples(rows[1500:])}
    assert data.near_duplicates(parts, 0.0, 99999.0).value == 0


def test_a_column_with_one_value_and_an_outlier_hide_no_near_duplicate():
    draw = np.random.default_rng(0)
    rows = np.c_[draw.random((400, 3)) * [1, 50, 1000], np.full(400, 7.0)]
    rows[5, 2] = 1e9
    learned, tested = rows[:300], rows[300:].copy()
    tested[:20] = learned[100:120] * (1 + 1e-6)
    near = data.near_duplicates({"train": samples(learned), "test": samples(tested)}, 0.0, 1e9)
    assert 0.15 <= near.value <= 0.2


def test_a_policy_can_answer_for_so_many(model):
    draw = np.random.default_rng(0)
    parts = with_copies(samples(draw.random((300, 4))), samples(draw.random((200, 4))), 2)
    given = subject(model, splits=parts, groups={})
    near = Check(metric="near_duplicate_rate", at_most=0.05)
    for bound, outcome in ((1, {"leaked_test_samples"}), (2, set())):
        accepted = Check(metric="leaked_test_samples", at_most=bound)
        evidence = integrity.judge(given, Integrity(checks=(near, accepted)))
        assert failed(evidence).keys() == outcome


def test_where_copies_look_like_chance_the_report_warns(model):
    draw = np.random.default_rng(0)
    rows = (draw.random((1600, 4)) < 0.5).astype(np.float32)
    parts = {"train": samples(rows[:1200]), "test": samples(rows[1200:], seed=1)}
    evidence = integrity.judge(subject(model, splits=parts, groups={}))
    assert failed(evidence) == {}
    assert "cannot be told from chance" in " ".join(evidence.warnings)
