"""Tables as they come: each is read as meant, or ends in words that say where and what to do."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from touchstone.training.tables import frame as framing
from touchstone.training.tables import read as reading
from touchstone.training.tables.asked import Data
from touchstone.training.tables.encode import raw
from touchstone.training.tables.frame import TableError
from touchstone.training.tables.read import read
from trust_gates.inputs.arrays import check
from trust_gates.inputs.table import Columns

DIGEST = "sha256:" + "0" * 64
TABLE = """\
id,age,work,sex,income
1,20,private,Male,low
2,,public,Female,high
3,60,,Male,high
4,40,private,Female,low
"""
ASKED = {"uri": "t.csv", "label": "income", "protected": ["sex"], "ignore": ["id"]}


@pytest.fixture
def table(tmp_path):
    """The raw data of a table, given as text or bytes, and what touchstone.yaml says of it."""

    def loaded(text=TABLE, **asked):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        data = raw(read(path, "t.csv"), Data.model_validate({**ASKED, **asked}))
        check(data.description, data.arrays, where="t.csv")
        return data

    return loaded


def problems(table, *args, **asked):
    with pytest.raises(TableError) as caught:
        table(*args, **asked)
    return [(words, at) for words, at in caught.value.problems]


def test_a_table_becomes_inputs_classes_and_groups(table):
    found = table()
    said = found.description
    assert said.task == "classification"
    assert said.classes == ("high", "low")
    assert said.protected == {"sex": ("Female", "Male")}
    assert said.inputs["features"] == [
        *("age", "age missing", "work=private", "work=public", "work missing"),
        *("sex=Female", "sex=Male"),
    ]
    assert said.inputs["categorical"] == said.inputs["features"][1:]
    assert found.arrays["inputs"].tolist() == [
        [0, 0, 1, 0, 0, 0, 1],
        [0, 1, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 1, 0, 1],
        [0.5, 0, 1, 0, 0, 1, 0],
    ]
    assert found.arrays["labels"].tolist() == [1, 0, 0, 1]
    assert found.arrays["protected_sex"].tolist() == [1, 0, 1, 0]


def test_what_is_asked_later_is_encoded_as_what_was_learned_from(table):
    found = table()
    columns = Columns.of(json.loads(json.dumps(found.description.to_json()))["inputs"])
    row = {"age": 40, "work": "private", "sex": "Female"}
    assert columns.encode([row]).tolist() == found.arrays["inputs"][3:].tolist()


@pytest.mark.parametrize(
    "text",
    [
        TABLE.encode("utf-8-sig"),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ", "),
        TABLE.replace("\n", "\r\n"),
        TABLE + "\n\n",
        "\n".join(",".join(f'"{one}"' for one in line.split(",")) for line in TABLE.splitlines()),
    ],
    ids=["bom", "semicolons", "tabs", "spaces", "crlf", "blank lines", "quotes"],
)
def test_a_table_means_the_same_however_it_was_written(table, text):
    found, plain = table(text), table()
    assert found.description == plain.description
    assert all((found.arrays[name] == one).all() for name, one in plain.arrays.items())


def test_words_that_mean_a_gap_and_ranges_are_taken_from_touchstone_yaml(table):
    found = table(TABLE.replace(",,", ",?,"), missing=["?"], ranges={"age": [0, 100]})
    assert found.arrays["inputs"][:, 0].tolist() == np.float32([0.2, 0, 0.6, 0.4]).tolist()
    assert found.arrays["inputs"][:, 1].tolist() == [0, 1, 0, 0]
    assert found.description.inputs["table"]["missing"] == ["?"]


def test_a_gap_in_a_protected_column_is_a_group_of_its_own(table):
    found = table(TABLE.replace("60,,Male", "60,,"))
    assert found.description.protected == {"sex": ("Female", "Male", "missing")}
    assert found.arrays["protected_sex"].tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (("1", "0", "1", "0"), "classification"),
        (("1.5", "0", "1", "0"), "regression"),
        (("a", "0", "1", "0"), "classification"),
    ],
)
def test_the_label_says_what_is_to_be_told(table, labels, task):
    rows = "".join(f"{place},{label}\n" for place, label in enumerate(labels))
    asked = {"label": "y", "protected": [], "ignore": []}
    found = table("x,y\n" + rows, **asked)
    assert found.description.task == task
    if task == "regression":
        assert found.arrays["targets"].tolist() == [1.5, 0, 1, 0]
        assert found.description.inputs["table"]["mean"] == 0.625
    assert (
        table("x,y\n" + rows.replace("a", "2"), **asked, task="regression").arrays["targets"].any()
    )


def test_numbers_that_are_names_are_said_to_be_so(table):
    found = table(categories=["age"]).description.inputs
    assert found["features"][:4] == ["age=20", "age=40", "age=60", "age missing"]


def test_a_table_of_words_alone_leaves_an_attacker_something_to_change(table):
    assert "categorical" not in table(ignore=["id", "age"]).description.inputs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "t.csv: got an empty file, expected a CSV file in UTF-8, or Parquet"),
        (b" \n", "got an empty file"),
        (b"\x1f\x8b\x08" + bytes(50), "got a gzip file: unpack it"),
        (b"PK\x03\x04" + bytes(50), "got a zip file, as spreadsheets are: save the sheet as CSV"),
        (TABLE.encode("utf-16"), "got text in UTF-16: save it as UTF-8"),
        (bytes(100), "got bytes that are no text"),
        (b"PAR1" + bytes(100), "expected a Parquet file as pyarrow or pandas writes it"),
        (
            TABLE.replace("public", "öffentlich").encode("latin-1"),
            "t.csv:3: got the byte 0xf6, which is no UTF-8; expected a CSV file in UTF-8: `iconv",
        ),
        ("a\n1\n", "t.csv:1: got one column 'a', expected a header of several names"),
        ("a,b,a\n", "t.csv:1: got several columns named 'a', expected each name once"),
        ("a,,b\n", "t.csv:1: got no name of column 2"),
        ("a,b\x07c\n", "t.csv:1: got 'b\\x07c' as the name of column 2, expected"),
        ("a," + "b" * 300, "as the name of column 2, expected at most 200 printable"),
        ("a,b\n", "t.csv: got a header without rows"),
        ("a,b\n1,2\n1,2,3\n", "t.csv:3: got 3 fields, expected 2, as the header has"),
        ('a,b\n1,"2\n2"\n1\n', "t.csv:4: got 1 fields, expected 2"),
        ('a,b\n1,2\n1,"2\n', 't.csv:3: got a quote (") that is never closed'),
        ('a,b\n1,"2"3\n', "t.csv:2: got text after a closed quote"),
        ("a,b\n1," + "2" * 100_000, "t.csv:2: got a field of more than 65,536 characters"),
        (",".join(f"c{n}" for n in range(1_000_000)), "got 1,000,000 columns, expected at most"),
    ],
)
def test_what_is_no_table_is_told_with_file_and_line(table, text, said):
    ((words, at),) = problems(table, text)
    assert said in words
    assert at == ()
    assert len(words) < 400


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "40,p",
            "old,p",
            "t.csv:5: age: got 'old', expected a number, as 3 of 4 rows have (or not",
        ),
        ("40,p", "NaN,p", "t.csv:5: age: got 'NaN', expected a number"),
        ("40,p", "inf,p", "t.csv:5: age: got 'inf', expected a number"),
        ("40,p", "1e999,p", "t.csv:5: age: got '1e999', expected a number"),
        ("40,p", '"1,234",p', "write numbers as 1234.5, without signs between thousands"),
        ("40,p", '"3,5",p', "write numbers as 1234.5"),
        ("40,p", "2021-03-04,p", "make a number of a date or time"),
        ("40,p", "007,p", "digits that begin with 0 are a code"),
        ("40,p", "$40,p", "write a number without its unit"),
        ("public", "1", "t.csv:2: work: got 'private', expected a number, as 2 of 4 rows have"),
        ("public", '"a\nb"', "t.csv:3: work: got 'a\\nb', expected printable characters"),
        ("public", "a\u200bb", "t.csv:3: work: got 'a"),
        ("public", "a" * 201, "t.csv:3: work: got 201 characters, expected a word of at most 200"),
        (
            "Female,low",
            "Female,",
            "t.csv:5: got no income, expected one in each row: leave out the",
        ),
        ("3,60", "5,-1e308,,Male,low\n3,1e308", "age: got -1e+308 and 1e+308, expected a"),
    ],
)
def test_a_value_that_is_not_as_the_others_is_told_with_its_line(table, old, new, said):
    found = problems(table, TABLE.replace(old, new))
    assert any(said in words for words, _ in found), found


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"label": "incme"}, ("label",), "expected a column of t.csv: 'id', 'age', 'work', 'sex',"),
        ({"label": "incme"}, ("label",), "did you mean 'income'?"),
        ({"protected": ["sex", "race"]}, ("protected", 1), "got 'race', expected a column"),
        ({"ignore": ["ID"]}, ("ignore", 0), "got 'ID', expected a column of t.csv"),
        ({"categories": ["x"]}, ("categories", 0), "got 'x', expected a column"),
        ({"ranges": {"x": [0, 1]}}, ("ranges", "x"), "got 'x', expected a column"),
        ({"ranges": {"age": [0, 50]}}, (), "t.csv:4: age: got 60, expected a number from 0 to 50"),
        ({"task": "regression"}, ("task",), "t.csv:2: got the income 'low', expected a number for"),
        ({"ignore": ["id", "age", "work", "sex"]}, ("ignore",), "got no column of t.csv that is a"),
    ],
)
def test_what_touchstone_yaml_says_amiss_is_told_with_its_field(table, asked, field, said):
    found = problems(table, **asked)
    assert any(said in words and at == field for words, at in found), found


def test_every_problem_is_told_at_once(table):
    text = TABLE.replace("40,p", "old,p").replace("high", "low").replace("Male", "Female")
    found = "\n".join(words for words, _ in problems(table, text))
    assert "age: got 'old'" in found
    assert "1 different values of the label 'income'" in found
    assert "same in every row ('sex')" in found


def test_texts_dates_and_too_many_classes_are_told_by_the_column(table):
    head = "x,note,day,y\n"
    rows = "".join(f"{n},text {n},2021-01-{n % 28 + 1:02},{n}\n" for n in range(300))
    found = problems(
        table, head + rows, label="y", protected=["note"], ignore=[], task="classification"
    )
    words = "\n".join(words for words, _ in found)
    assert "got 300 different words in the column 'note' (such as 'text 0', 'text 1'" in words
    assert "t.csv:2: day: got '2021-01-01', expected a number or a word: make a number of" in words
    assert "got 300 different values of the label 'y', expected 2 to 256 classes; of num" in words
    assert "got 300 different values of 'note' in t.csv, expected at most 64 groups" in words


def test_no_more_is_read_than_a_machine_can_hold(table, monkeypatch):
    monkeypatch.setattr(framing, "MOST_VALUES", 10)
    ((words, _),) = problems(table)
    assert "t.csv: got 4 rows or more of 5 columns, expected at most 10 values" in words
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    ((words, _),) = problems(table)
    assert "expected at most 10: write Parquet" in words


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"uri": "../t.csv"}, "expected a path inside of the repository"),
        ({"uri": "/t.csv"}, "expected a path inside of the repository"),
        ({"uri": "t.xlsx"}, "expected a file named .csv or .parquet"),
        ({"uri": "generate"}, "expected a file named .csv or .parquet"),
        ({"uri": "file://host/t.csv"}, "expected file:///an/absolute/path"),
        ({"uri": "http://host/t.csv", "digest": DIGEST}, "https://host/path or s3://bucket/key"),
        ({"uri": "ftp://host/t.csv", "digest": DIGEST}, "https://host/path or s3://bucket/key"),
        ({"uri": "https://a:b@host/t.csv", "digest": DIGEST}, "expected one without"),
        ({"uri": "https://host/t.csv"}, "curl -fLo FILE 'https://host/t.csv'; sha256sum FILE"),
        ({"uri": "file:///d/t.csv"}, "as `sha256sum /d/t.csv` prints it"),
        ({"label": ""}, "got ignore, protected without a label"),
        ({"protected": ["sex", "sex"]}, "got sex in protected twice"),
        ({"protected": ["income"]}, "got the label 'income' among the other columns"),
        ({"ranges": {"id": [0, 1]}}, "got ranges of id, which are ignored or categories"),
        ({"task": "detection"}, "'classification' or 'regression'"),
    ],
)
def test_what_could_be_no_table_is_refused_before_anything_is_read(asked, said):
    with pytest.raises(ValidationError) as caught:
        Data.model_validate({**ASKED, **asked})
    assert said in str(caught.value)


@pytest.mark.parametrize("asked", [ASKED, {"uri": "generate", "seed": 3}])
def test_what_is_said_of_the_data_is_told_to_a_stage_as_it_was(asked):
    data = Data.model_validate(asked)
    assert Data.model_validate(json.loads(json.dumps(data.plain()))) == data


def test_a_label_is_as_typed():
    assert Data.model_validate({**ASKED, "label": 1, "ignore": [2]}).label == "1"


@pytest.fixture
def parquet(tmp_path):
    """A Parquet file of these columns, read."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    def loaded(columns, **asked):
        path = tmp_path / "t.parquet"
        if isinstance(columns, dict):
            columns = pyarrow.table(columns)
        files.write_table(columns, path)
        return raw(read(path, "t.parquet"), Data.model_validate({"uri": "t.parquet", **asked}))

    return loaded


def test_parquet_means_what_its_types_say(parquet):
    import decimal

    found = parquet(
        {
            "age": [1.5, float("nan"), 3.5],
            "whole": [10, None, 30],
            "money": [decimal.Decimal("0.50"), decimal.Decimal("1.00"), decimal.Decimal("1.50")],
            "zone": ["01", "02", "01"],
            "own": [True, False, None],
            "y": ["a", "b", "a"],
        },
        label="y",
        protected=["zone"],
    )
    assert found.description.inputs["features"] == [
        *("age", "age missing", "whole", "whole missing", "money"),
        *("zone=01", "zone=02", "own=false", "own=true", "own missing"),
    ]
    assert found.arrays["inputs"][:, :5].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 0, 1, 0.5],
        [1, 0, 1, 0, 1],
    ]
    assert found.description.protected == {"zone": ("01", "02")}


def test_a_word_of_a_parquet_dictionary_that_no_row_has_is_none(parquet):
    import pyarrow

    words = pyarrow.DictionaryArray.from_arrays([0, 1, 0], ["a", "b", "unused"])
    found = parquet({"w": words, "x": [1, 2, 3], "y": words}, label="y")
    assert found.description.inputs["features"] == ["w=a", "w=b", "x"]
    assert found.description.classes == ("a", "b")


def test_words_of_several_row_groups_and_of_the_widest_small_dictionary_are_one_column(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    words = [f"w{place:03}" for place in range(128)]
    codes = pyarrow.array([*range(128), None], type=pyarrow.int8())
    whole = pyarrow.table(
        {
            "x": pyarrow.DictionaryArray.from_arrays(codes, words),
            "z": [*words[::-1], "w000"],
            "y": ["a", "b", "c"] * 43,
        }
    )
    files.write_table(whole, tmp_path / "t.parquet", row_group_size=50)
    found = read(tmp_path / "t.parquet", "t.parquet").columns
    assert [found["x"].words[code] for code in found["x"].codes] == [*words, ""]
    assert [found["z"].words[code] for code in found["z"].codes] == [*words[::-1], "w000"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"d": [{"a": 1}], "y": [1]}, "got the columns 'd' of type struct<a: int64>; expected num"),
        ({"d": [[1, 2]], "y": [1]}, "'d' of type list<"),
        ({"d": [b"x"], "y": [1]}, "'d' of type binary"),
        ({"d": [None], "y": [1]}, "'d' of type null"),
        (
            {"d": ["moment"], "y": [1]},
            "'d' of type timestamp[us]; expected numbers, words, and true",
        ),
        ({"d": [], "y": []}, "'d' of type null"),
        ({" y": [1], "y": [1]}, "t.parquet: got several columns named 'y', expected each name"),
        ({"x": [1.0, float("inf")], "y": [1, 2]}, "t.parquet: row 2: x: got 'inf', expected a num"),
        ({"x": [1, 2], "y": [None, 2]}, "t.parquet: row 1: got no y, expected one in each row"),
    ],
)
def test_parquet_that_is_no_plain_table_is_told_with_column_and_row(parquet, columns, said):
    import datetime

    if columns.get("d") == ["moment"]:
        columns["d"] = [datetime.datetime(2021, 3, 4)]
    with pytest.raises(TableError) as caught:
        parquet(columns, label="y")
    assert said in str(caught.value)


def test_parquet_of_more_rows_than_it_has_bytes_is_not_unpacked(parquet, monkeypatch):
    import pyarrow

    monkeypatch.setattr(framing, "MOST_VALUES", 100_000)
    many = pyarrow.DictionaryArray.from_arrays(np.zeros(200_000, dtype=np.int8), ["a"])
    with pytest.raises(TableError, match="got 200,000 rows or more of 1 columns, expected at"):
        parquet({"y": many}, label="y")


def test_a_parquet_file_that_is_cut_or_changed_is_told_so(parquet, tmp_path):
    parquet({"x": [1, 2, 3] * 100, "y": ["a", "b", "a"] * 100}, label="y")
    whole, other = (tmp_path / "t.parquet").read_bytes(), tmp_path / "o.parquet"
    generator = np.random.default_rng(0)
    for _ in range(40):
        changed = bytearray(whole)
        for place in generator.integers(4, len(whole), size=3):
            changed[place] = generator.integers(256)
        other.write_bytes(changed[: generator.integers(8, len(whole) + 1)])
        try:
            raw(read(other, "o.parquet"), Data(uri="o.parquet", label="y"))
        except TableError as error:
            assert str(error).isprintable()
