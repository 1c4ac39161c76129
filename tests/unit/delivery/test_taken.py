"""What a request's values become, and that nothing but what a model declares gets to it."""

import json

import numpy as np
import pytest
from served_models import COLUMNS, ROW

from touchstone.delivery import wire
from touchstone.delivery.taken import MOST, Taken
from touchstone.training.mitigation.served import Source

FEATURES = {"shape": [3], "low": 0.0, "high": 1.0, "features": ["a", "b", "c"]}
IMAGES = {"shape": [1, 2, 2], "low": 0.1, "high": 0.9}
TOKENS = {"shape": [3], "low": 0, "high": 9, "dtype": "int64"}
TABLE = {
    "columns": COLUMNS.to_json(),
    "features": list(COLUMNS.features),
    "shape": [len(COLUMNS.features)],
    "low": 0.0,
    "high": 1.0,
}


def lengths(values):
    """An `encode` that a model could have."""
    if "bad" in values:
        raise ValueError("got the word 'bad'")
    return np.array([[len(str(one)), 0, 0] for one in values])


TAKEN = {
    "features": Taken.of(FEATURES),
    "images": Taken.of(IMAGES),
    "tokens": Taken.of(TOKENS),
    "table": Taken.of(TABLE, COLUMNS.encode),
    "texts": Taken.of(TOKENS, lengths),
    "json": Taken.of({**TOKENS, "raw": "json"}, lengths),
}


def v1(kind, *values, **beside):
    found, groups = TAKEN[kind].read(wire.Instances(values=list(values), beside=beside))
    return found


def v2(kind, *tensors):
    keys = ("name", "datatype", "shape", "data")
    described = [dict(zip(keys, tensor, strict=True)) for tensor in tensors]
    return TAKEN[kind].read(wire.tensors(json.dumps({"inputs": described}).encode()))[0]


def test_inputs_come_as_lists_as_a_tensor_or_by_the_names_of_features():
    expected = np.array([[0, 0.5, 1]], dtype=np.float32)
    half = ("b", "FP32", [1], [0.5])
    for found in (
        v1("features", [0, 0.5, 1]),
        v1("features", {"c": 1, "a": 0, "b": 0.5}),
        v2("features", ("input", "FP32", [1, 3], [0, 0.5, 1])),
        v2("features", ("c", "FP64", [1], [1]), ("a", "INT8", [1, 1], [0]), half),
    ):
        assert found.dtype == np.float32
        assert found.tolist() == expected.tolist()
    assert v1("images", [[[0.1, 0.9], [0.5, 0.5]]]).shape == (1, 1, 2, 2)
    assert v2("tokens", ("input", "UINT8", [1, 3], [9, 0, 1])).dtype == np.int64


def test_a_row_of_a_table_comes_by_the_names_of_columns_or_encoded():
    expected = COLUMNS.encode([ROW]).tolist()
    assert v1("table", ROW).tolist() == expected
    columns = [("age", "FP64", [1], [39]), ("work", "BYTES", [1], ["private"])]
    assert v2("table", *columns, ("hours", "INT32", [1], [40])).tolist() == expected
    assert v1("table", *expected).tolist() == expected
    missing = {**ROW, "age": None}
    assert v1("table", missing).tolist() == COLUMNS.encode([missing]).tolist()
    assert (
        v1("table", {**ROW, "work": 1}).tolist() == COLUMNS.encode([{**ROW, "work": "1"}]).tolist()
    )


def test_what_the_models_own_code_encodes_comes_as_texts_or_as_json():
    assert v1("texts", "abc", "d").tolist() == [[3, 0, 0], [1, 0, 0]]
    assert v2("texts", ("input", "BYTES", [1], ["abc"])).tolist() == [[3, 0, 0]]
    assert v1("texts", [3, 0, 0]).tolist() == [[3, 0, 0]]
    assert v1("json", {"a": 1}, "x", 5).tolist() == [[8, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert v2("json", ("input", "BYTES", [1], ['{"a": 1}'])).tolist() == [[8, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("features", [[1, 2]], r"got inputs of shape \(1, 2\), expected \(N, 3\)"),
        ("features", [], r"expected \(N, 3\)"),
        ("features", [[[0, 0, 0]]], r"got inputs of shape \(1, 1, 3\), expected \(N, 3\)"),
        ("features", [[0, 0, 0], [0]], r"got a list of 1 at \[1\], expected a list of 3"),
        ("features", [[0, 0, "x"]], "row 1, feature 'c': got 'x', expected a number from 0 to 1"),
        ("features", [[0, 0, "0.1"]], "got '0.1', expected a number"),
        ("features", [[0, True, 0]], "feature 'b': got true, expected a number"),
        ("features", [[0, 0, None]], "got null"),
        ("features", [[0, 0, 0], [0, 1.5, 0]], "row 2, feature 'b': got 1.5, expected a number"),
        ("features", [[0, -1e-9, 0]], "got -1e-09"),
        ("features", [[0, 10**400, 0]], "feature 'b': got 1000000"),
        ("features", [0.1, 0.2, 0.3], r"got 0.1 at \[0\], expected values named a, b, c; or 'in"),
        ("features", [[0, 0, 0], {"a": 0}], r"got an object at \[1\], expected all instances of"),
        ("features", ["abc"], r"got 'abc' at \[0\], expected values named a, b, c"),
        ("features", [{"a": 0}], "row 1: got no 'b', 'c', expected a number for each of 'a'"),
        ("features", [{"a": 0, "b": 0, "c": 0, "d": 0}], "row 1: got also 'd', expected"),
        ("features", [{"a": 0, "b": [0], "c": 0}], "feature 'b': got a list of 1"),
        ("images", [[[[0.5, 0.5], [0.5, 0.95]]]], r"got 0.95 at \[0\]\[0\]\[1\]\[1\], expected"),
        ("images", [{"a": 0}], r"got an object at \[0\], expected 'input', FP32 \[1, 2, 2\] each"),
        ("tokens", [[1.0, 0, 0]], "got 1.0 at .*, expected a whole number from 0 to 9"),
        ("tokens", [[10, 0, 0]], "got 10 at"),
        ("tokens", [[-1, 0, 0]], "got -1 at"),
        ("tokens", [[2**70, 0, 0]], "got 1180591620717411303424 at"),
        ("tokens", ["abc"], r"got 'abc' at \[0\], expected 'input', INT64 \[3\] each"),
        ("table", [{**ROW, "age": "39"}], "row 1: age: got '39', expected a number from 17 to 90"),
        ("table", [{**ROW, "age": 91}], "row 1: age: got 91, expected a number from 17 to 90"),
        ("table", [{**ROW, "hours": True}], "row 1: hours: got true"),
        ("table", [{**ROW, "hours": None}], "row 1: hours: got no value"),
        ("table", [{**ROW, "work": "Private"}], "row 1: work: got 'Private', .*did you mean"),
        ("table", [{**ROW, "work": ["private"]}], "row 1: work: got a list of 1"),
        ("table", [{**ROW, "wrok": 1}], "row 1: got the column 'wrok', expected values named age"),
        ("table", [{"age": 39}], "work: got no value"),
        ("table", [[0.3, 0, 1, 0, 0, 4]], "row 1, feature 'hours': got 4, expected a number"),
        ("texts", [5], r"got 5 at \[0\], expected texts or 'input', INT64 \[3\] each"),
        ("texts", ["good", None], r"got null at \[1\], expected all instances of one kind"),
        ("texts", [{"text": "good"}], r"got an object at \[0\], expected texts"),
        ("texts", ["bad"], "got the word 'bad'"),
    ],
)
def test_instances_that_a_model_does_not_declare_are_refused(kind, values, said):
    with pytest.raises(ValueError, match=said):
        v1(kind, *values)


@pytest.mark.parametrize(
    ("kind", "tensors", "said"),
    [
        ("features", [("input-0", "FP32", [1, 3], [0] * 3)], "of them 'input-0', expected"),
        ("features", [("input", "FP32", [3], [0] * 3)], r"got inputs of shape \(3,\)"),
        ("features", [("input", "FP32", [0, 3], [])], r"got inputs of shape \(0, 3\)"),
        ("features", [("input", "FP32", [], [0])], r"got inputs of shape \(\)"),
        ("features", [("input", "BYTES", [1, 3], ["a"] * 3)], "got datatype BYTES, expected FP32"),
        ("features", [("input", "INT64", [1, 3], [0.5, 0, 0])], "got 0.5 at .*, expected INT64"),
        ("features", [("input", "UINT8", [1, 3], [300, 0, 0])], "got 300 at .*, expected UINT8"),
        ("features", [("a", "FP32", [1], [0]), ("z", "FP32", [1], [0])], "of them 'z', expected"),
        ("features", [("a", "FP32", [1], [0]), ("b", "FP32", [2], [0] * 2)], r"got shape \[2\]"),
        ("features", [(name, "FP32", [], [0]) for name in "abc"], r"got shape \[\], expected"),
        ("features", [(name, "FP32", [0], []) for name in "abc"], "tensors of no value"),
        ("features", [(name, "BYTES", [1], ["0"]) for name in "abc"], "feature 'a': got '0'"),
        ("features", [("a", "FP32", [MOST + 1], [0] * (MOST + 1))], "expected at most 100000"),
        ("tokens", [("input", "FP32", [1, 3], [0] * 3)], "got datatype FP32, expected INT64"),
        ("table", [("age", "BYTES", [1], ["39"])], "age: got '39', expected a number"),
        ("table", [("work", "BYTES", [1], [1])], "tensor 'work': got 1, expected words"),
        ("texts", [("input", "BYTES", [1], [None])], r"got null at \[0\], expected texts"),
        ("texts", [("text", "BYTES", [1], ["good"])], "of them 'text', expected texts or 'input'"),
    ],
)  # fmt: skip
def test_tensors_that_a_model_does_not_declare_are_refused(kind, tensors, said):
    with pytest.raises(ValueError, match=said):
        v2(kind, *tensors)


def test_a_limit_that_the_declared_type_rounds_is_within_it():
    assert v1("images", np.full((1, 1, 2, 2), np.float32(0.1)).tolist()[0]).shape == (1, 1, 2, 2)


def test_a_row_may_tell_the_protected_attribute_that_a_fairness_rule_needs():
    asks = Source(protected="sex", values=("f", "m"), privileged=("m",))
    taken = Taken.of(FEATURES, None, asks)
    row = {"a": 0, "b": 0, "c": 0}
    for asked in (
        wire.Instances(values=[{**row, "sex": "f"}]),
        wire.Instances(values=[row], beside={"sex": ["f"]}),
    ):
        inputs, groups = taken.read(asked)
        assert (inputs.shape, groups) == ((1, 3), {"sex": ["f"]})
    assert [one["name"] for one in taken.described()] == ["input", "sex"]
    assert taken.described()[1]["parameters"] == {"values": ["f", "m"]}


def test_metadata_name_what_a_client_may_send():
    (own,) = TAKEN["features"].described()
    assert own["parameters"] == {"low": 0.0, "high": 1.0, "features": ["a", "b", "c"]}
    age, work, _ = TAKEN["table"].described()
    assert (age["name"], age["datatype"], age["shape"]) == ("age", "FP64", [-1])
    assert age["parameters"] == {"low": 17.0, "high": 90.0, "missing": True}
    assert work["datatype"] == "BYTES"
    assert work["parameters"] == {"values": ["private", "state", "1"], "missing": False}
    (text,) = TAKEN["texts"].described()
    assert (text["name"], text["datatype"]) == ("input", "BYTES")
    assert text["parameters"]["encoded"]["datatype"] == "INT64"


@pytest.mark.parametrize("said", [None, True, ["None"], {"None": 1}])
def test_a_group_that_is_not_told_is_none_that_has_such_a_name(said):
    asks = Source(protected="sex", values=("None", "True"), privileged=("True",))
    taken = Taken.of(FEATURES, None, asks)
    row = dict.fromkeys("abc", 0.5)
    for values, beside in (([row], {"sex": [said]}), ([{**row, "sex": said}], {})):
        with pytest.raises(ValueError, match=r"as sex at \[0\], expected a word"):
            taken.read(wire.Instances(values=values, beside=beside))
