"""Limits of figures made of rates: what they rest on, and what scenes and scores are worth."""

import numpy as np
import pytest

from trust_gates.fairness import counts, figures
from trust_gates.fairness import metrics as glossary
from trust_gates.fairness.bounds import Compared
from trust_gates.fairness.rows import Rows


def rows(group, truth, predicted, unit=None, scores=None):
    columns = [np.asarray(one) for one in (group, truth, predicted)]
    return Rows(
        group=columns[0].astype(int),
        truth=columns[1].astype(bool),
        predicted=columns[2].astype(bool),
        unit=np.arange(len(columns[0])) if unit is None else np.asarray(unit),
        scores=scores,
    )


def compared(judged):
    return Compared.of(counts.collapse(judged, 2), [0], [1])


def drawn(seed=0, count=2000, scenes=None):
    generator = np.random.default_rng(seed)
    group = generator.integers(2, size=count)
    truth = generator.random(count) < 0.5
    scores = (0.3 + 0.3 * truth + 0.05 * group + 0.2 * generator.normal(size=count)).clip(0, 1)
    return rows(group, truth, scores > 0.45, scenes, scores)


@pytest.mark.parametrize("name", [one.name for one in glossary.PAIRS])
def test_every_figure_of_rates_lies_within_its_limits_and_the_limits_are_near(name):
    judged = drawn()
    limits = compared(judged).bounds(name)
    if name.startswith("between_group_"):
        assert limits is None
        return
    columns = counts.collapse(judged, 2).observed()
    value = figures.pair(columns[:, 0], columns[:, 1], alpha=2)[name][0]
    narrow, wide = limits(0.9), limits(0.999)
    assert wide.low <= narrow.low <= value <= narrow.high <= wide.high
    assert 0 < narrow.high - narrow.low < 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("statistical_parity_difference", 60),
        ("equal_opportunity_difference", 40),
        ("false_positive_rate_ratio", 20),
        ("false_discovery_rate_difference", 35),
        ("false_omission_rate_ratio", 25),
        ("average_odds_difference", 20),
        ("equalized_odds_difference", 20),
        ("average_predictive_value_difference", 25),
        ("between_group_theil_index", 60),
    ],
)
def test_a_figure_rests_on_the_rows_of_its_rates(name, expected):
    small = [(0, 1, 1)] * 30 + [(0, 1, 0)] * 10 + [(0, 0, 1)] * 5 + [(0, 0, 0)] * 15
    large = [(1, truth, said) for truth in (0, 1) for said in (0, 1)] * 200
    assert compared(rows(*zip(*small, *large, strict=True))).rows(name) == expected


def test_objects_of_one_scene_that_are_missed_together_say_less_than_so_many_apart():
    """80 scenes of 4 objects, in each of which all are found or none."""
    found = np.repeat(np.arange(80) % 4 > 0, 4)
    group, truth = np.repeat(np.arange(80) % 2, 4), np.ones(320, bool)
    apart = compared(rows(group, truth, found)).bounds("equal_opportunity_difference")(0.95)
    scenes = np.repeat(np.arange(80), 4)
    together = compared(rows(group, truth, found, scenes)).bounds("equal_opportunity_difference")(
        0.95
    )
    assert 1.8 < (together.high - together.low) / (apart.high - apart.low) < 2.5


def test_scenes_whose_objects_are_missed_independently_lose_little():
    judged, scenes = drawn(1, 3000), np.repeat(np.arange(1000), 3)
    group = np.repeat(judged.group[::3], 3)
    apart, together = (
        compared(rows(group, judged.truth, judged.predicted, unit, judged.scores))
        for unit in (None, scenes)
    )
    for name in ("equal_opportunity_difference", "disparate_impact", "error_rate_difference"):
        one, other = apart.bounds(name)(0.95), together.bounds(name)(0.95)
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.15)


def test_errors_of_scenes_that_both_groups_are_in_add_up():
    """Each scene has a row of either group, and one is missed where the other is found."""
    group = np.tile([0, 1], 200)
    first = np.repeat(np.random.default_rng(0).random(200) < 0.5, 2)
    opposite = first ^ (group == 1)
    truth, scenes = np.ones(400, bool), np.repeat(np.arange(200), 2)
    name = "equal_opportunity_difference"
    apart = compared(rows(group, truth, opposite)).bounds(name)(0.95)
    together = compared(rows(group, truth, opposite, scenes)).bounds(name)(0.95)
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(1.41, abs=0.1)


def test_half_a_row_in_every_cell_lets_a_resample_see_what_nobody_saw():
    perfect = rows([0] * 40 + [1] * 40, [0, 1] * 40, [0, 1] * 40)
    columns = counts.collapse(perfect, 2).resampled(0, 500)
    assert columns.shape == (500, 2, 6)
    assert (columns[:, :, counts.FN] > 0).all()
    assert columns[:, :, counts.TP].mean() == pytest.approx(20.5, abs=0.5)
    scenes = rows([0] * 40 + [1] * 40, [0, 1] * 40, [0, 1] * 40, np.repeat(np.arange(20), 4))
    together = counts.collapse(scenes, 2).resampled(0, 500)
    assert together[:, 0, counts.TP].std() > columns[:, 0, counts.TP].std()
