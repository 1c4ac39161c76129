"""What a person types becomes the body of a request, by what the model's metadata say."""

import io
import json

import pytest
from test_taken import TAKEN

from touchstone.delivery.question import body
from touchstone.errors import UsageError


def instances(given, kind):
    return body(given, {"inputs": TAKEN[kind].described()})["instances"]


@pytest.mark.parametrize(
    ("given", "kind", "found"),
    [
        ("[0, 1, 1]", "features", [[0, 1, 1]]),
        ("[[0, 1, 1], [1, 1, 1]]", "features", [[0, 1, 1], [1, 1, 1]]),
        ('{"a": 0, "b": 1, "c": 1}', "features", [{"a": 0, "b": 1, "c": 1}]),
        ('[{"age": 3}]', "table", [{"age": 3}]),
        ("[[[0.5, 0.5], [0.5, 0.5]]]", "images", [[[[0.5, 0.5], [0.5, 0.5]]]]),
        ('"good film"', "texts", ["good film"]),
        ('["good film", "bad"]', "texts", ["good film", "bad"]),
        ("[1, 2, 3]", "texts", [[1, 2, 3]]),
        ('{"instances": [[0, 1, 1]]}', "features", [[0, 1, 1]]),
    ],
)
def test_one_input_is_told_from_several(given, kind, found):
    assert instances(given, kind) == found


def test_who_speaks_the_protocol_is_taken_at_his_word():
    v2 = {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP32", "data": [0, 1, 1]}]}
    assert body(json.dumps(v2), {"inputs": TAKEN["features"].described()}) == v2


def test_cells_of_a_csv_become_what_the_model_has_for_them(tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    file.write_text("\ufeffage,work,hours\n39,1,40.5\n,private,x\n")
    rows = [
        {"age": 39, "work": "1", "hours": 40.5},
        {"age": None, "work": "private", "hours": "x"},
    ]
    assert instances(str(file), "table") == rows
    monkeypatch.setattr("sys.stdin", io.StringIO("a,b,c\n0,1,1\n"))
    assert instances("-", "features") == [{"a": 0, "b": 1, "c": 1}]
    monkeypatch.setattr("sys.stdin", io.StringIO("[0, 1, 1]"))
    assert instances("-", "features") == [[0, 1, 1]]
    file.write_text('text\n7\n"good, film"\n')
    assert instances(str(file), "texts") == ["7", "good, film"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a CSV without a row"),
        ("age,work\n", "a CSV without a row"),
        ("age,work\n1\n", "line 2: got 1 cells, expected one for each of the 2 columns"),
        ("age,age\n1,2\n", "each once"),
        ('age\n"1\n', "line 2: unexpected end of data"),
        ("age\n\xff\n".encode("latin-1"), "cannot be read"),
    ],
)
def test_a_csv_that_is_none_is_named_by_line(tmp_path, text, said):
    file = tmp_path / "rows.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=said):
        instances(str(file), "table")


@pytest.mark.parametrize("given", ["absent.csv", "{age: 3}", "[" * 100_000, "x" * 5000, "a\0b"])
def test_what_is_no_input_says_what_one_is(given):
    with pytest.raises(
        UsageError, match=r"expected JSON, the name of a \.json or \.csv file, or -"
    ):
        instances(given, "features")
