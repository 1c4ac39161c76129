"""A CSV file is judged in the columns that the model learned from, as they were typed there."""

from dataclasses import replace

import pytest

from trust_gates import evaluation
from trust_gates.errors import PolicyError
from trust_gates.inputs import dataset
from trust_gates.inputs.description import Description
from trust_gates.inputs.table import Column, Columns

COLUMNS = Columns(
    (
        Column(name="age", kind="number", missing=True, low=0, high=100),
        Column(name="sex", kind="category", missing=False, values=("Female", "Male")),
    )
)
LEARNED = Description(
    task="classification",
    classes=("low", "high"),
    inputs={
        "shape": [4],
        "low": 0.0,
        "high": 1.0,
        "features": list(COLUMNS.features),
        "categorical": list(COLUMNS.features[1:]),
        "columns": COLUMNS.to_json(),
        "table": {"label": "income", "protected": ["sex"], "missing": ["?"]},
    },
    protected={"sex": ("Female", "Male")},
    seed=0,
)
ROWS = "id,age,sex,income,ward\n1,50,Male,high,a\n2,?, Female,low,b\n3,,Male,low,a\n"


@pytest.fixture
def csv(tmp_path):
    def written(text=ROWS):
        (tmp_path / "data.csv").write_text(text)
        return tmp_path / "data.csv"

    return written


def test_rows_are_encoded_as_those_that_were_learned_from(csv):
    found = dataset.read(csv(), LEARNED)
    assert found.samples.inputs.tolist() == [[0.5, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]
    assert found.samples.labels.tolist() == [1, 0, 0]
    assert found.samples.classes == ("low", "high")
    assert found.columns == ("age", "age", "sex", "sex")
    assert (found.low, found.high) == (0, 1)
    assert found.reach.immutable.tolist() == [False, True, True, True]


def test_groups_are_columns_of_words_and_those_that_the_table_declared(csv):
    samples = dataset.read(csv(), LEARNED).samples
    assert sorted(samples.groups) == ["id", "sex", "ward"]
    assert samples.groups["sex"].tolist() == ["Male", "Female", "Male"]
    assert samples.protected == ("sex",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROWS.replace("50", "500"), "row 1: age: got '500', expected a number from 0 to 100"),
        (ROWS.replace("Male,high", "male,high"), "row 1: sex: got 'male', expected one of"),
        (ROWS.replace(",age", ",Age"), "expected one named 'age'"),
        (ROWS.replace("income", "label"), "expected one named 'income'"),
        (ROWS.replace("high", "hi"), "data.csv:2: got the label 'hi', expected one of ['low', 'h"),
        (ROWS.replace("high", ""), "data.csv:2: got the label '', expected one of"),
    ],
)
def test_what_the_model_never_saw_is_told_with_its_row(csv, text, said):
    with pytest.raises(ValueError, match=r"data\.csv") as caught:
        dataset.read(csv(text), LEARNED)
    assert said in str(caught.value)


@pytest.mark.parametrize("table", [3, {"label": 3}, {"missing": "?"}, {"protected": [{}]}])
def test_a_table_that_a_model_describes_amiss_is_refused(csv, table):
    learned = replace(LEARNED, inputs={**LEARNED.inputs, "table": table})
    with pytest.raises(ValueError, match="expected label, protected and missing: names"):
        dataset.read(csv(), learned)


def test_evaluation_data_of_an_organisation_are_encoded_too(csv):
    samples = evaluation.read(csv(), LEARNED)
    assert samples.inputs.shape == (3, 4)
    assert samples.labels.tolist() == [1, 0, 0]
    assert samples.protected == ("sex",)
    with pytest.raises(PolicyError, match="row 1: sex: got 'x'"):
        evaluation.read(csv(ROWS.replace("50,Male", "50,x")), LEARNED)
