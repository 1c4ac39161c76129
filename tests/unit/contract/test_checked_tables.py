"""A model repository whose data are a table: its YAML, its table and its code are told together."""

import shutil

import pytest

from tests.unit.training.test_tabular import OWN
from touchstone.contract.checked import check
from touchstone.home import SHIPPED
from touchstone.training import dataset

EXAMPLE = SHIPPED / "training" / "examples" / "one-file"


@pytest.fixture
def repository(tmp_path):
    """The example as somebody's own repository."""
    folder = tmp_path / "mine"
    shutil.copytree(EXAMPLE, folder)
    return folder


def edit(folder, *changes):
    path = folder / "touchstone.yaml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_one_yaml_file_and_a_table_are_a_model_repository(repository, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    found = check(repository, output=output)
    assert not found.problems and not found.notes
    assert found.facts["samples"] == {"test": 1000}
    assert found.written
    assert dataset.read_raw(output).description.classes == ("<=50K", ">50K")


def test_yaml_table_and_an_entrypoint_of_ones_own_are_told_together(repository):
    (repository / "model.py").write_text(OWN.replace("batch.labels)", "batch.labels) / 0"))
    edit(
        repository,
        ("spec:\n  data", "spec:\n  entrypoint: model.py:Own\n  data"),
        ("privileged: [Male]", "privileged: [male]"),
    )
    found = "\n".join(map(str, check(repository, shown=str(repository)).problems))
    expected = "expected one of 'Female', 'Male'; did you mean 'Male'?"
    assert f"the privileged value of sex 'male', {expected}" in found
    assert "model.py:11: loss: got the loss inf" in found


def test_a_table_that_cannot_be_read_is_told_at_its_line_and_in_touchstone_yaml(repository):
    people = (repository / "people.csv").read_text().splitlines(keepends=True)
    people[19] = people[19].replace("\n", ",more\n")
    (repository / "people.csv").write_text("".join(people))
    (told,) = check(repository, shown=str(repository)).problems
    assert told.location == str(repository / "people.csv:20")
    assert "got 9 fields, expected 8" in told.message
    edit(repository, ("uri: people.csv", "uri: peple.csv"))
    (told,) = check(repository, shown=str(repository)).problems
    assert told.location == str(repository / "touchstone.yaml:7:5")
    assert "expected the table; did you mean 'people.csv'?" in told.message


def test_figures_are_those_of_the_task_that_the_label_says(repository):
    edit(
        repository,
        ("label: income", "label: hours"),
        ("      hours: [0, 80]\n", ""),
        ('      favorable: ">50K"\n', ""),
    )
    found = "\n".join(map(str, check(repository).problems))
    of_classes = (
        *("balanced_accuracy", "val_accuracy", "robust_accuracy"),
        *("statistical_parity_difference", "equal_opportunity_difference"),
    )
    for metric in of_classes:
        assert f"got {metric!r}, " in found
    assert "this one is of the task regression: expected one of " in found


def test_a_table_at_an_address_is_left_to_the_run(repository):
    edit(
        repository,
        ("uri: people.csv", f"uri: https://host/people.csv\n    digest: sha256:{'0' * 64}"),
    )
    found = check(repository)
    assert not found.problems
    assert found.notes == [
        "the data are at an address: they are looked at once fetch-data has them"
    ]


def test_without_an_entrypoint_there_must_be_a_table(repository):
    path = repository / "touchstone.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:5], "  data: {uri: generate}\n", *lines[15:]]))
    (told, *_) = check(repository).problems
    assert "got no entrypoint, expected entrypoint: file.py:Class" in told.message


def test_the_people_of_the_example_are_drawn_by_our_own_code():
    from drawn_people import drawn

    assert (EXAMPLE / "people.csv").read_text() == drawn()
    assert (EXAMPLE / "people.csv").stat().st_size < 300_000
