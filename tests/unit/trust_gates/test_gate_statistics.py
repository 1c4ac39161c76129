"""Intervals have known answers, many checks together keep their confidence, nothing fails open."""

import math

import numpy as np
import pytest

from trust_gates.statistics import (
    Measure,
    Requirement,
    bounded_mean,
    decide,
    exact,
    proportion,
    resample_weights,
    resampled,
    samples_needed,
)
from trust_gates.verdict import Interval, Outcome, Required


def requirement(metric, **bounds):
    return Requirement(metric=metric, required=Required(**bounds))


def test_the_interval_of_a_proportion_is_clopper_pearsons():
    interval = proportion(45, 100).interval(0.95)
    assert interval.low == pytest.approx(0.3503, abs=1e-4)
    assert interval.high == pytest.approx(0.5527, abs=1e-4)
    assert proportion(100, 100).interval(0.95).low == pytest.approx(0.025 ** (1 / 100))


def test_no_samples_fail():
    (check,) = decide("g", {"m": proportion(0, 0)}, [requirement("m", high=1)], confidence=0.95)
    assert check.outcome is Outcome.FAILED
    assert "no samples" in check.reason


def test_too_few_samples_are_insufficient_evidence_however_good_they_are():
    (check,) = decide("g", {"m": proportion(20, 20)}, [requirement("m", low=0.1)], confidence=0.95)
    assert check.outcome is Outcome.INSUFFICIENT
    assert check.samples_needed == 30


def test_what_would_decide_is_a_factor_of_all_the_data_where_a_figure_rests_on_a_part():
    measures = {"m": proportion(110, 200)}
    asked = [requirement("m", low=0.5)]
    (alone,) = decide("g", measures, asked, confidence=0.95)
    (part,) = decide("g", measures, asked, confidence=0.95, whole=1000)
    assert part.samples == alone.samples == 200
    assert part.samples_needed == pytest.approx(5 * alone.samples_needed, abs=5)
    assert "200 samples cannot tell, about 2.1 times these data would decide" in part.reason


def test_a_figure_that_is_not_a_number_fails():
    (check,) = decide("g", {"m": exact(math.nan, 99)}, [requirement("m", high=1)], confidence=0.95)
    assert check.outcome is Outcome.FAILED
    assert "not a number" in check.reason


def test_a_bootstrap_with_undefined_draws_fails():
    draws = np.full(1000, 0.5)
    draws[:100] = math.nan
    measures = {"m": resampled(0.5, 100, draws)}
    (check,) = decide("g", measures, [requirement("m", low=0.0)], confidence=0.95)
    assert check.outcome is Outcome.FAILED


def test_a_bootstrap_without_spread_at_the_end_of_the_scale_borrows_the_exact_interval():
    interval = resampled(1.0, 50, np.ones(1000)).interval(0.95)
    assert interval.low == pytest.approx(proportion(50, 50).interval(0.95).low)


def test_a_mean_within_bounds_is_surer_of_steady_values_and_never_of_few():
    steady = bounded_mean(np.random.default_rng(0).normal(0.3, 0.02, size=200), low=-1)
    assert steady.value == pytest.approx(0.3, abs=0.01)
    near = steady.interval(0.95)
    assert near.low < steady.value < near.high
    assert near.high - near.low < 0.1
    alike = bounded_mean(np.full(12, 1.0), low=-1).interval(0.95)
    assert alike.low < 0.7
    assert alike.high == 1
    assert bounded_mean(np.zeros(0)).grouped


def test_resampling_is_seeded_and_draws_as_many_as_there_are():
    weights = resample_weights(40, seed=3)
    assert (weights == resample_weights(40, seed=3)).all()
    assert (weights.sum(axis=1) == 40).all()


def test_more_checks_ask_more_of_each():
    alone = decide("g", {"m": proportion(60, 100)}, [requirement("m", low=0.5)], confidence=0.94)
    assert alone[0].outcome is Outcome.PASSED
    measures = {"m": proportion(60, 100), "bad": proportion(10, 100)}
    both = decide(
        "g", measures, [requirement("m", low=0.5), requirement("bad", low=0.5)], confidence=0.94
    )
    assert both[0].outcome is Outcome.INSUFFICIENT
    assert both[0].interval.confidence == pytest.approx(0.97)
    assert both[1].outcome is Outcome.FAILED


def test_a_pass_leaves_its_share_to_the_others():
    measures = {"m": proportion(60, 100), "good": proportion(100, 100)}
    checks = decide(
        "g", measures, [requirement("m", low=0.5), requirement("good", low=0.5)], confidence=0.94
    )
    assert [check.outcome for check in checks] == [Outcome.PASSED] * 2
    assert checks[0].interval.confidence == pytest.approx(0.94)
    assert checks[1].interval.confidence == pytest.approx(0.97)


def test_family_error_stays_below_one_minus_confidence():
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        hits = generator.binomial(60, 0.5, size=4)
        measures = {f"m{i}": proportion(int(h), 60) for i, h in enumerate(hits)}
        checks = decide(
            "g", measures, [requirement(name, low=0.5001) for name in measures], confidence=0.9
        )
        wrong += any(check.outcome is Outcome.PASSED for check in checks)
    assert wrong / 200 <= 0.1


def test_an_unknown_metric_names_the_known_ones():
    with pytest.raises(ValueError, match=r"got the metric 'speed'.*expected one of: m"):
        decide("g", {"m": exact(1)}, [requirement("speed", low=0)], confidence=0.95)


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan, 95])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        decide("g", {"m": exact(1)}, [requirement("m", low=0)], confidence=confidence)


def test_samples_needed_is_about_right():
    interval = proportion(110, 200).interval(0.95)
    needed = samples_needed(0.55, interval, Required(low=0.5), 200)
    assert needed is not None
    decided = proportion(round(0.55 * needed), needed).interval(0.95)
    assert decided.low == pytest.approx(0.5, abs=0.005)


def test_a_failure_takes_samples_to_be_shown_as_a_pass_does():
    interval = proportion(90, 200).interval(0.95)
    needed = samples_needed(0.45, interval, Required(low=0.5), 200)
    assert needed is not None
    decided = proportion(round(0.45 * needed), needed).interval(0.95)
    assert decided.high == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("measured", [0.5, math.nan])
def test_no_number_of_samples_helps_on_the_border(measured):
    interval = Interval(low=0.3, high=0.6, confidence=0.95)
    assert samples_needed(measured, interval, Required(low=0.5), 100) is None


def test_an_undefined_interval_never_passes():
    measure = Measure(
        value=0.9,
        samples=100,
        interval=lambda c: Interval(low=math.nan, high=math.nan, confidence=c),
    )
    (check,) = decide("g", {"m": measure}, [requirement("m", low=0.1)], confidence=0.95)
    assert check.outcome is Outcome.FAILED
    assert "interval is undefined" in check.reason


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (64, "got 64, expected <= 0; off by 64"),
        (0.579, "got 0.579, expected <= 0; off by 0.579"),
        (4e-05, "got 0.00004, expected <= 0; off by 0.00004"),
    ],
)
def test_what_is_exact_is_said_without_an_interval_and_never_as_zeros(value, said):
    (check,) = decide("g", {"m": exact(value, 64)}, [requirement("m", high=0)], confidence=0.9)
    assert check.reason == f"m: {said}"
