"""YAML is read with the place of every field, and what is no YAML is refused at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchstone.documents.yaml import load_file, load_files, load_text
from touchstone.errors import ManifestError

_BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(i + 1)}: &{chr(i + 1)} [*{chr(i)}, *{chr(i)}]\n" for i in range(ord("a"), ord("z"))
)
_TWO = "# first\na: 1\nb: [x, {c: yes, d: 2026-11-26}]\n---\n---\n{e: 1.5, f: null}\n"


def test_every_document_and_field_has_its_place() -> None:
    first, second = load_text(_TWO, "f")
    assert first.body == {"a": 1, "b": ["x", {"c": "yes", "d": "2026-11-26"}]}
    assert second.body == {"e": 1.5, "f": None}
    assert first.location() == "f:2:1"
    assert first.location(("b", 1, "d")) == "f:3:17"
    assert second.location(("f",)) == "f:6:10"


def test_a_field_that_is_not_there_stands_where_it_would_belong() -> None:
    document = load_text(_TWO, "f")[0]
    assert document.location(("b", 1, "absent")) == "f:3:8"
    assert str(document.error("got nothing", ("b", 1, "x"))) == "f:3:8: b[1].x: got nothing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [}\n", r"f:1:5: got broken YAML: .*, expected well-formed YAML"),
        ("a: 1\na: 2\n", r"f:2:1: got broken YAML: found duplicate key"),
        ("- a\n", "f: got a list at the top, expected a mapping"),
        ("words\n", "f: got 'words' at the top, expected a mapping"),
        ("\x01", "f.*: got broken YAML"),
        ("a: 2001-99-99", "f: got broken YAML"),
        ("a: !!int x", "f: got broken YAML"),
        ("a: " + "9" * 5000, "f: got broken YAML"),
        ("a: " + "[" * 120 + "]" * 120, "f: got more than"),
        (_BOMB, "f: got more than"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        load_text(text, "f")


def test_a_second_document_is_refused_where_one_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(_TWO)
    with pytest.raises(ManifestError, match="two.yaml:6:1: got 2 documents, expected one"):
        load_file(file)


def test_a_folder_stands_for_all_yaml_below_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("b.yml", "a.yaml", "below/c.yaml", "d.json"):
        (tmp_path / name).write_text(f"name: {name}\n")
    assert [item.body["name"] for item in load_files([tmp_path])] == [
        "a.yaml", "b.yml", "below/c.yaml",
    ]  # fmt: skip


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="absent.yaml: no such file"):
        load_files([tmp_path / "absent.yaml"])


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ManifestError, match="x.yaml: cannot be read"):
        load_files([tmp_path / "x.yaml"])


def test_a_character_that_json_writes_as_a_pair_is_one_and_half_of_it_is_refused():
    assert load_text('"\\ud83d\\ude00": "\\ud83d\\ude00"', "a.yaml")[0].body == {"😀": "😀"}
    with pytest.raises(ManifestError, match="got half of a character"):
        load_text('a: "\\ud83d"', "a.yaml")
