"""Columns of a table: what their values become, and what is said of those that do not fit."""

import json
import math

import numpy as np
import pytest

from trust_gates.inputs.table import Column, Columns

AGE = Column(name="age", kind="number", missing=True, low=20, high=60)
SEX = Column(name="sex", kind="category", missing=False, values=("Female", "Male"))
CODE = Column(name="code", kind="category", missing=True, values=("1", "true"))
COLUMNS = Columns((AGE, SEX, CODE))


def inputs(columns=COLUMNS):
    return {
        "columns": json.loads(json.dumps(columns.to_json())),
        "features": list(columns.features),
        "shape": [len(columns.features)],
    }


def test_numbers_are_scaled_and_words_are_one_feature_each():
    assert COLUMNS.features == (
        *("age", "age missing", "sex=Female", "sex=Male"),
        *("code=1", "code=true", "code missing"),
    )
    assert COLUMNS.sources == ("age", "age", "sex", "sex", "code", "code", "code")
    found = COLUMNS.encode(
        [{"age": 30, "sex": " Male", "code": 1}, {"age": "60.0", "sex": "Female", "code": True}]
    )
    assert found.dtype == np.float32
    assert found.tolist() == [[0.25, 0, 0, 1, 1, 0, 0], [1, 0, 1, 0, 0, 1, 0]]


@pytest.mark.parametrize("nothing", [None, "", "  ", math.nan, np.float32("nan")])
def test_a_missing_number_is_zero_and_said_and_a_missing_word_is_a_word_of_its_own(nothing):
    found = COLUMNS.encode([{"age": nothing, "sex": "Male", "code": nothing}, {"sex": "Male"}])
    assert found.tolist() == [[0, 1, 0, 1, 0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"age": 61, "sex": "Male"}, "age: got 61, expected a number from 20 to 60, or nothing"),
        ({"age": "old", "sex": "Male"}, "age: got 'old', expected a number from 20 to 60"),
        ({"age": True, "sex": "Male"}, "age: got True, expected a number"),
        ({"age": [30], "sex": "Male"}, "age: got [30], expected a number"),
        ({"age": 10**400, "sex": "Male"}, "age: got 1000"),
        ({"age": math.inf, "sex": "Male"}, "age: got inf, expected a number"),
        ({"age": "1,000", "sex": "Male"}, "age: got '1,000', expected a number"),
        ({"age": "٣٠", "sex": "Male"}, "age: got '٣٠', expected a number"),
        ({"age": 30, "sex": "male"}, "sex: got 'male', expected one of 'Female', 'Male'; did you"),
        ({"age": 30}, "sex: got no value, expected one of 'Female', 'Male'"),
        ({"age": 30, "sex": "Male", "agee": 1}, "got the column 'agee', expected age, sex, code;"),
        ({"age": 30, "sex": "Male", 3: 1}, "got the column 3, expected age, sex, code"),
        (["30", "Male"], "got ['30', 'Male'], expected a value by column: age, sex, code"),
    ],
)
def test_what_does_not_fit_is_told_by_row_and_column(row, said):
    with pytest.raises(ValueError, match="^row 2: ") as caught:
        COLUMNS.encode([{"age": 30, "sex": "Male"}, row])
    assert said in str(caught.value)


def test_messages_are_short_and_of_one_line_whatever_a_row_holds():
    rows = [{"age": "9" * 10_000, "sex": "\n\x1b[2J" * 1000, "code": ["x"] * 10_000}] * 10_000
    with pytest.raises(ValueError, match="; and more$") as caught:
        COLUMNS.encode(rows)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_columns_are_read_back_as_they_were_described():
    assert Columns.of(inputs()) == COLUMNS
    assert Columns.of({"features": ["a"], "shape": [1]}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "text"},
        {"kind": None},
        {"name": ""},
        {"name": 3},
        {"missing": 1},
        {"low": "a"},
        {"low": math.nan},
        {"low": 70},
        {"low": -1.7e308, "high": 1.7e308},
        {"values": ["a"]},
        {"kind": "category"},
    ],
)
def test_a_description_that_is_none_is_refused(change):
    said = inputs()
    said["columns"][0] |= change
    with pytest.raises(ValueError, match="got the column"):
        Columns.of(said)


@pytest.mark.parametrize("columns", [[], "age", {"name": "age"}, 3, [None]])
def test_columns_that_are_no_list_of_columns_are_refused(columns):
    with pytest.raises(ValueError, match="got the column"):
        Columns.of({**inputs(), "columns": columns})


def test_columns_that_give_other_features_than_the_inputs_have_are_refused():
    with pytest.raises(ValueError, match="got 3 features of shape"):
        Columns.of({**inputs(), "features": ["a", "b", "c"]})
    with pytest.raises(ValueError, match="got the features 'a=b' twice"):
        Columns(
            (
                Column(name="a", kind="category", missing=False, values=("b",)),
                Column(name="a=b", kind="number", missing=False),
            )
        )
