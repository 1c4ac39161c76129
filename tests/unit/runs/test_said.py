"""What a stage says of itself is found at its log's end, whatever else it wrote, and bounded."""

import pytest

from touchstone.runs import said


def failed(folder, text, *, step="s"):
    folder.mkdir(exist_ok=True)
    (folder / f"{step}.log").write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"steps": [{"name": step, "terminated": {"exitCode": 4}}]}


def test_the_last_error_comes_with_all_its_lines_and_its_hint_behind_them(tmp_path):
    status = failed(tmp_path, "error: early\nepoch 1/2\nhint: h\nerror: one\n\ntwo\nthree\n")
    assert said.last_error(tmp_path, status) == ["one", "two", "three", "hint: h"]


def test_a_hint_that_belongs_to_something_else_is_left_out(tmp_path):
    status = failed(tmp_path, "hint: h\nbetween\nerror: one")
    assert said.last_error(tmp_path, status) == ["one"]


def test_a_step_that_names_no_error_has_its_last_lines(tmp_path):
    status = failed(tmp_path, "a\nb\nc\n")
    assert said.last_error(tmp_path, status) == []
    assert said.last_lines(tmp_path, status, 2) == ["b", "c"]
    assert said.last_lines(tmp_path, status, 0) == []


def test_the_step_that_failed_is_asked_and_not_the_newest_log(tmp_path):
    status = failed(tmp_path, "error: why")
    (tmp_path / "sidecar.log").write_text("error: something else\n")
    assert said.last_error(tmp_path, status) == ["why"]


@pytest.mark.parametrize(
    "text",
    ["error: " + "x" * 10**6, "error: a\n" + "b\n" * 10000, b"error: a\n" + b"\xff\x00" * 40000],
)
def test_what_hostile_code_writes_is_read_and_shown_in_bounds(tmp_path, text):
    found = said.last_error(tmp_path, failed(tmp_path, text))
    assert len(found) <= said._MOST + 1
    assert all(len(line) <= said._LONGEST + 1 for line in found)


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ({"evidence": "e", "outcome": "failed"}, "failed"),
        ({"evidence": "e", "outcome": "insufficient evidence"}, "insufficient evidence"),
        ({"outcome": "failed"}, ""),
        ({"evidence": "e", "outcome": "\x1b[2J"}, ""),
        ({"evidence": "e", "outcome": ["failed"]}, ""),
    ],
)
def test_a_gates_outcome_is_one_of_three_words(results, outcome):
    status = {"results": [{"name": name, "value": value} for name, value in results.items()]}
    assert said.outcome_of(status) == outcome


def test_the_last_line_is_found_behind_blank_ones(tmp_path):
    (tmp_path / "a.log").write_text("x" * 10000 + "\nepoch 2: loss 0.5\n\n  \n")
    assert said.last_line(tmp_path) == "epoch 2: loss 0.5"
    assert said.last_line(tmp_path / "absent") == ""
