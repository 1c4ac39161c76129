"""Reading YAML: whatever is wrong with the text, it is a ManifestError."""

from __future__ import annotations

import pytest

from touchstone.errors import ManifestError
from touchstone.yaml import load, load_all

_BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(i + 1)}: &{chr(i + 1)} [*{chr(i)}, *{chr(i)}]\n" for i in range(ord("a"), ord("z"))
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x1f", id="unprintable"),
        pytest.param("a: 2001-99-99", id="no-such-day"),
        pytest.param("a: 2001-01-01T99:99:99Z", id="no-such-hour"),
        pytest.param("a: !!int x", id="tagged-int"),
        pytest.param("a: !!float x", id="tagged-float"),
        pytest.param("!!omap x", id="tagged-map"),
        pytest.param("a: 0x_", id="no-digits"),
        pytest.param("a: " + "9" * 5000, id="endless-number"),
        pytest.param("[" * 500, id="nested-and-open"),
        pytest.param("[" * 120 + "]" * 120, id="nested"),
        pytest.param(_BOMB, id="aliases-of-aliases"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_files_name(text: str) -> None:
    with pytest.raises(ManifestError, match=r"^file\.yaml"):
        load_all(text, name="file.yaml")


def test_an_alias_stands_for_what_its_anchor_says() -> None:
    assert load("a: &a [1]\nb: *a", name="file.yaml") == {"a": [1], "b": [1]}


def test_a_second_document_is_refused_where_one_is_expected() -> None:
    with pytest.raises(ManifestError, match="2 YAML documents"):
        load("a: 1\n---\nb: 2", name="file.yaml")
