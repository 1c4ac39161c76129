"""Kubernetes YAML is read as kubectl reads it: YAML 1.1 as Go has it, then JSON."""

from __future__ import annotations

from typing import Any

import pytest

from touchstone.delivery.release import to_yaml
from touchstone.documents.kubectl import load_text
from touchstone.documents.yaml import load_one
from touchstone.errors import ManifestError

_BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(i + 1)}: &{chr(i + 1)} [*{chr(i)}, *{chr(i)}]\n" for i in range(ord("a"), ord("z"))
)
_TWO = "# first\na: 1\nb: [x, {c: yes, d: 2026-11-26}]\n---\n---\n{e: 1.5, f: null}\n"


def _value(text: str) -> Any:
    (document,) = load_text(f"k: {text}\n", "f")
    return document.body["k"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("y", "Y", "yes", "Yes", "on", "ON", "true", "TRUE")],
        *[(word, False) for word in ("n", "N", "no", "No", "off", "Off", "false", "False")],
        *[(word, None) for word in ("", "~", "null", "Null", "NULL", "!!null ''")],
        *[
            (word, word)
            for word in ("oN", "yEs", "nULL", "tRUE", "_1", "0x", "1,000", "+-1", "0b2")
        ],
        ("0777", 511),
        ("0o17", 15),
        ("-0x1f", -31),
        ("0b101", 5),
        ("08", 8),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.10", 1.1),
        (".5_0", 0.5),
        ("1e400", "1e400"),
        ("12345678901234567890", 12345678901234567890),
        ("99999999999999999999", 100000000000000000000),
        ("2001-01-01", "2001-01-01"),
        ("12:30:45", "12:30:45"),
        ("190:20:30.15", "190:20:30.15"),
        ("'on'", "on"),
        ('"0777"', "0777"),
        ("!!str on", "on"),
        ("!!int '7'", 7),
        ("!!float 3", 3),
        ("!!bool yes", True),
        ("!!binary aGk=", "hi"),
        ("!own on", "on"),
        ("|\n  on\n", "on\n"),
    ],
)
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    assert _value(text) == value
    assert type(_value(text)) is type(value)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("1", "1"),
        ("0x10", "16"),
        ("on", "true"),
        ("No", "false"),
        ("1.50", "1.5"),
        ("1e5", "100000"),
        ("1e10", "1e+10"),
        ("2001-01-01", "2001-01-01"),
        ("'1'", "1"),
    ],
)
def test_a_key_becomes_a_string(key: str, name: str) -> None:
    (document,) = load_text(f"{key}: x\n", "f")
    assert document.body == {name: "x"}
    assert document.location((name,)) == "f:1:1"


def test_merged_keys_are_there_and_stand_where_they_were_written() -> None:
    text = "a: &a {x: 1, w: 2}\nb: &b {x: 3, z: 4}\nc: {<<: [*a, *b], w: 5}\n"
    (document,) = load_text(text, "f")
    assert document.body["c"] == {"x": 1, "w": 5, "z": 4}
    assert document.location(("c", "z")) == "f:2:14"
    assert document.location(("c", "w")) == "f:3:19"


def test_an_alias_is_the_last_anchor_of_that_name() -> None:
    (document,) = load_text("a: &x 1\nb: *x\nc: &x [2]\nd: *x\n", "f")
    assert document.body == {"a": 1, "b": 1, "c": [2], "d": [2]}
    assert document.location(("d", 0)) == "f:3:8"


def test_every_document_and_field_has_its_place() -> None:
    first, second = load_text(_TWO, "f")
    assert first.body == {"a": 1, "b": ["x", {"c": True, "d": "2026-11-26"}]}
    assert second.body == {"e": 1.5, "f": None}
    assert first.location() == "f:2:1"
    assert first.location(("b", 1, "d")) == "f:3:17"
    assert first.location(("b", 1, "absent")) == "f:3:8"
    assert second.location(("f",)) == "f:6:10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [}\n", "f:1:5: got broken YAML: .*, expected YAML that kubectl reads"),
        ("a: 1\na: 2\n", "f:2:1: got broken YAML: found duplicate key 'a'"),
        ("1: a\n'1': b\n", "f:2:1: got broken YAML: found duplicate key '1'"),
        ("a:\n- value: {{URL}}\n", "f:2:11: got broken YAML: invalid map key, .*TEMPLATE"),
        ("[a]: b\n", "f:1:1: got broken YAML: invalid map key"),
        ("~: b\n", "f:1:1: got broken YAML: unsupported map key: null"),
        ("a: .inf\n", "f:1:4: got broken YAML: .inf, which JSON has no number for"),
        ("a: .NaN\n", "f:1:4: got broken YAML: .NaN, which JSON has no number for"),
        ("a: !!int x\n", "f:1:4: got broken YAML: cannot decode 'x' as int"),
        ("a: !!binary '@'\n", "f:1:4: got broken YAML: !!binary without base64"),
        ("a: *b\n", "f:1:4: got broken YAML: unknown anchor 'b'"),
        ("a: &a [*a]\n", "f:1:8: got broken YAML: an anchor's value contains itself"),
        ("a: &a [1]\nb: {<<: *a}\n", "f:2:9: got broken YAML: a merge .* of something else"),
        ("a:\n\t- b\n", "f:2:1: got broken YAML: found character that cannot start any token"),
        ('a: "\\ud83d"\n', "f:1:.*: got broken YAML"),
        ("\x01", "f: got broken YAML"),
        ("- a\n", "f: got a list at the top, expected a mapping"),
        ("words\n", "f: got 'words' at the top, expected a mapping"),
        ("a: " + "[" * 120 + "]" * 120, "f: got more than"),
        (_BOMB, "f: got more than"),
    ],
)
def test_what_kubectl_does_not_read_is_refused_at_its_place(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        load_text(text, "f")


def test_json_is_read_with_its_characters_in_two_halves() -> None:
    assert load_text('{"a": "\\ud83d\\ude00"}', "f")[0].body == {"a": "😀"}


def test_a_manifest_that_is_written_for_a_cluster_is_read_there_as_it_was_meant() -> None:
    words = [
        "on",
        "y",
        "N",
        "No",
        "~",
        "null",
        "0777",
        "0o17",
        "1_000",
        "1e3",
        ".5_0",
        ".inf",
        ".NaN",
        "<<",
        "1:30",
        "",
        "a\nb",
        "x",
    ]
    document = {"kind": "InferenceService", "n": {word: word for word in words}, "list": words}
    text = to_yaml(document)
    assert load_text(text, "f")[0].body == document
    assert load_one(text, "f").body == document
