"""A name of elsewhere becomes a legal part of an image's name."""

import re

import pytest

from touchstone.documents.naming import LABEL, image_name, run_name

PART = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("detector", "detector"),
        ("Object-Detector", "object-detector"),
        ("a.b_c--d", "a.b_c--d"),
        ("My Detector", "my-detector"),
        (".github", "github"),
        ("-a..b-", "a-b"),
    ],
)
def test_a_name_of_ascii_letters_keeps_them(name, image):
    assert image_name(name) == image


@pytest.mark.parametrize(
    "name", ["模型", "köln", "", "...", "a" * 300, "x/../y", "\ud800", "é" * 99]
)
def test_any_name_becomes_a_legal_one_and_two_stay_two(name):
    assert PART.fullmatch(image_name(name))
    assert LABEL.fullmatch(run_name(name)) and len(run_name(name)) <= 42
    assert len(image_name(name)) < 120
    assert image_name(name) == image_name(name) != image_name(name + "é")
