"""Features of one column are one decision: they are ranked, taken out and shown together."""

import numpy as np
import pytest

from trust_gates.explainability import features
from trust_gates.explainability.parts import Parts
from trust_gates.policy import Setting

COLUMNS = ("age", "age", "sex", "sex")
ATTRIBUTIONS = np.array([[3.0, -1.0, 0.0, 4.0], [0.0, 0.0, 2.0, -2.0]])


def test_a_columns_features_are_one_part():
    parts = Parts.of((4,), COLUMNS)
    assert parts.number.tolist() == [0, 0, 1, 1]
    assert parts.total(ATTRIBUTIONS).tolist() == [[2, 4], [0, 0]]
    assert parts.total(ATTRIBUTIONS[:0]).shape == (0, 2)
    assert Parts.of((4,)).number.tolist() == [0, 1, 2, 3]


def test_what_speaks_for_one_word_and_against_another_is_said_once():
    found = Parts.of((4,), COLUMNS).divided(ATTRIBUTIONS)
    assert found.tolist() == [[1.5, 0.5, 0, 4], [0, 0, 0, 0]]
    assert Parts.of((4,)).divided(ATTRIBUTIONS).tolist() == ATTRIBUTIONS.tolist()


def test_the_share_of_a_column_is_that_of_all_its_features():
    setting = Setting(features=("age", "age missing", "sex=f", "sex=m"), columns=COLUMNS)
    table = features.by_column(np.array([[1.5, 0.5, 0, 6]]), np.ones((5, 1)), setting)
    assert [(name, share) for name, share, *_ in table.rows] == [
        ("sex", pytest.approx(0.75)),
        ("age", pytest.approx(0.25)),
    ]
