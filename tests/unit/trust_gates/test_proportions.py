"""Limits of differences and ratios of shares equal the published ones, and mean what they say."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from trust_gates.proportions import Bounded, effective, ratio, share, total

GAP = [1, -1]


def wilson(hits, trials):
    """Wilson's limits, with which MOVER is Newcombe's method 10."""
    z, p = norm.ppf(0.975), hits / trials
    middle = (p + z**2 / 2 / trials) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(p * (1 - p) / trials + z**2 / 4 / trials**2)
    return Bounded(*(np.float64(one) for one in (p, max(middle - half, 0), min(middle + half, 1))))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_differences_equal_the_published_examples_of_newcombe(first, second, low, high):
    """Newcombe, Statistics in Medicine 17 (1998), table II, method 10."""
    found = total([wilson(*first), wilson(*second)], GAP)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("hits", "trials"), [(0, 30), (1, 30), (45, 100), (29, 30), (30, 30)])
@pytest.mark.parametrize("confidence", [0.95, 0.9975])
def test_limits_of_one_share_are_mid_p(hits, trials, confidence):
    """More hits than these, and half of as many, are as likely at the limit as the tail."""
    found, tail = share(hits / trials, trials, confidence), (1 - confidence) / 2

    def more(at, than):
        return binom.sf(than, trials, at) + binom.pmf(than, trials, at) / 2

    if hits:
        assert more(float(found.low), hits) == pytest.approx(tail, rel=1e-6)
    else:
        assert found.low == 0
    if hits < trials:
        assert 1 - more(float(found.high), hits) == pytest.approx(tail, rel=1e-6)
    else:
        assert found.high == 1


@pytest.mark.parametrize("trials", [30, 47, 100])
def test_a_share_is_beyond_a_limit_at_most_as_often_as_is_declared(trials):
    hits = np.arange(trials + 1)
    limits = share(hits / trials, trials, 0.95)
    for truth in np.linspace(0.01, 0.999, 60):
        often = binom.pmf(hits, trials, truth)
        assert often[limits.low > truth].sum() <= 0.05
        assert often[limits.high < truth].sum() <= 0.05


@pytest.mark.parametrize("shares", [(8, 20), (30, 20), (20, 30), (1, 29), (15, 15), (0, 20)])
def test_a_ratios_limits_are_where_those_of_the_difference_reach_0(shares):
    over, under = (share(hits / 30, 30, 0.95) for hits in shares)
    found = ratio(over, under)
    assert float(found.low) <= float(found.value) <= float(found.high)
    for sides, end in ((found.low, "low"), (found.high, "high")):
        reached = total([over, under], [1, -float(sides)])
        assert float(getattr(reached, end)) == pytest.approx(0, abs=1e-9)


def test_a_ratio_to_what_may_be_none_has_no_upper_limit():
    found = ratio(share(0.5, 40, 0.95), share(0.0, 40, 0.95))
    assert np.isnan(found.value)
    assert np.isinf(found.high)
    assert found.low > 1


def test_limits_are_those_of_each_in_an_array():
    values = np.array([0.0, 0.3, 1.0])
    together = total([share(values, 50, 0.95), share(0.5, 80, 0.95)], GAP)
    for index, value in enumerate(values):
        alone = total([share(value, 50, 0.95), share(0.5, 80, 0.95)], GAP)
        assert together.low[index] == alone.low
        assert together.high[index] == alone.high


def test_rows_of_one_unit_that_are_all_alike_are_worth_one_trial():
    """40 scenes of 3 objects, each found whole or missed whole."""
    found = np.arange(40) < 30
    value = np.float64(0.75)
    squares = np.float64(((3 * found - value * 3) ** 2).sum())
    worth = effective(value, squares, np.float64(120), np.float64(40))
    assert worth == pytest.approx(40, rel=0.05)
    assert effective(np.float64(1), np.float64(0), np.float64(120), np.float64(40)) <= 40


def test_independent_hits_are_worth_their_number_and_steady_scores_more():
    rows = np.float64(200)
    hits = np.arange(200) < 150
    squares = np.float64(((hits - 0.75) ** 2).sum())
    assert effective(np.float64(0.75), squares, rows, rows) == pytest.approx(200, rel=0.01)
    scores = np.random.default_rng(0).normal(0.75, 0.05, size=200)
    squares = np.float64(((scores - scores.mean()) ** 2).sum())
    assert effective(np.float64(scores.mean()), squares, rows, rows) > 1000


def test_errors_that_go_together_make_a_difference_less_sure():
    parts = share(0.5, 50, 0.95), share(0.4, 60, 0.95)
    alone, together = total(parts, GAP), total(parts, GAP, wider=1.5)
    assert float(together.high - together.low) == pytest.approx(1.5 * float(alone.high - alone.low))
    assert together.value == alone.value


def test_the_distance_from_0_has_limits_from_0_on():
    around = Bounded(*(np.float64(one) for one in (-0.1, -0.3, 0.2))).distance
    assert (around.value, around.low, around.high) == (0.1, 0, pytest.approx(0.3))
    below = Bounded(*(np.float64(one) for one in (-0.4, -0.5, -0.3))).distance
    assert (below.low, below.high) == (pytest.approx(0.3), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("trials", "truth", "edge", "confidence"),
    [
        ((30, 500), (0.889, 0.99), 0.1, 0.95),
        ((33, 500), (0.889, 0.99), 0.1, 0.95),
        ((45, 500), (0.889, 0.99), 0.1, 0.95),
        ((30, 500), (0.869, 0.97), 0.1, 0.95),
        ((30, 2000), (0.889, 0.99), 0.1, 0.9875),
        ((35, 2000), (0.869, 0.97), 0.1, 0.9875),
        ((60, 2000), (0.939, 0.99), 0.05, 0.95),
    ],
)
def test_a_gap_just_outside_of_its_range_passes_at_most_as_often_as_is_declared(
    trials, truth, edge, confidence
):
    """Of every pair of counts, by its own probability: no draw, and none left out."""
    few, many = (np.arange(count + 1) for count in trials)
    limits = total(
        [
            share(few[:, None] / trials[0], trials[0], confidence),
            share(many[None] / trials[1], trials[1], confidence),
        ],
        GAP,
    )
    often = np.outer(binom.pmf(few, trials[0], truth[0]), binom.pmf(many, trials[1], truth[1]))
    assert often[(limits.low >= -edge) & (limits.high <= edge)].sum() <= 1 - confidence
