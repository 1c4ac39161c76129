"""The fast path is AIF360: our figures from counts equal its own, on any table of decisions."""

import numpy as np
import pytest

from trust_gates.fairness import counts, reference
from trust_gates.fairness.rows import Rows


@pytest.mark.parametrize("seed", range(8))
def test_figures_from_counts_equal_those_of_aif360(seed):
    generator = np.random.default_rng(seed)
    rates = generator.dirichlet(np.ones(8))
    cell = generator.choice(8, size=300, p=rates)
    cell = np.concatenate([np.arange(8), cell])  # every cell is there: all figures are defined
    table = Rows(
        privileged=cell // 4 == 1,
        truth=cell // 2 % 2 == 1,
        predicted=cell % 2 == 1,
        unit=np.arange(len(cell)),
    )
    fast = counts.figures(np.bincount(cell, minlength=8).astype(float)[None])
    slow = reference.figures(table)
    assert set(slow) == set(fast) == set(counts.METRICS)
    for name, value in slow.items():
        assert fast[name][0] == pytest.approx(value, abs=1e-9), name


def test_theil_index_agrees_when_everybody_is_right_or_wrong():
    for predicted in ([0, 1, 0, 1], [1, 0, 1, 0]):
        table = Rows(
            privileged=np.array([0, 0, 1, 1], bool),
            truth=np.array([0, 1, 0, 1], bool),
            predicted=np.array(predicted, bool),
            unit=np.arange(4),
        )
        cell = counts.cells(table.privileged, table.truth, table.predicted)
        fast = counts.figures(np.bincount(cell, minlength=8).astype(float)[None])
        assert fast["theil_index"][0] == pytest.approx(reference.figures(table)["theil_index"])
