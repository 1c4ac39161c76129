"""Values are written as people read them, whatever language they came from."""

import math

import numpy as np
import pytest

from trust_gates.verdict import Required
from trust_gates.written import number, span, value


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (2e-06, "0.000002"), (1e-07, "0.0000001"), (0.1 + 0.2, "0.3"), (0.123456, "0.1235"),
        (12345678.0, "12345678"), (1234567.8, "1235000"), (1.0, "1"), (-0.0, "0"), (0, "0"),
        (3e20, "3 × 10^20"), (1.5e-20, "1.5 × 10^-20"), (None, "not a number"),
        (math.nan, "not a number"), (math.inf, "infinity"), (-math.inf, "-infinity"),
        (np.float32(0.25), "0.25"), (np.int64(7), "7"),
    ],
)  # fmt: skip
def test_a_number_is_written_out(given, shown):
    assert number(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, "none"), ("", "none"), (True, "yes"), (False, "no"), ("as it is", "as it is"),
        ([], "none"), ({}, "none"), ([1, 2.5, "a"], "1, 2.5, a"),
        ({"rate": 1e-07, "off": None, "on": True}, "rate 0.0000001, on yes"),
        ({"adam": {"betas": [0.9, 0.999]}}, "adam (betas (0.9, 0.999))"),
    ],
)  # fmt: skip
def test_what_a_document_holds_is_written_in_words(given, shown):
    assert value(given) == shown


def test_a_range_of_one_value_is_that_value():
    assert (span(0.1, 0.25), span(0, 0)) == ("0.1 to 0.25", "0")
    assert Required(low=-0.1, high=0.1).words == "-0.1 to 0.1"
    assert (Required(low=2e-06).words, str(Required(low=2e-06))) == (
        "at least 0.000002",
        ">= 0.000002",
    )
