"""A gate that looks again and again is wrong no more often than it says, and stops early."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from trust_gates.sequential import batches, confidence_sequence, sequential, settled
from trust_gates.statistics import Requirement, decide, proportion
from trust_gates.verdict import Outcome, Required


def trace(hits, planned):
    looks, total = [], 0
    for rows in batches(planned):
        total += int(hits[rows].sum())
        looks.append((total, rows.stop))
    return looks


def judged(hits, planned, low, confidence=0.95):
    """The check at the look that settles it, or at the last one."""
    looks = trace(hits, planned)
    for count in range(1, len(looks) + 1):
        measures = {"m": sequential(looks[:count], planned=planned)}
        requirement = Requirement(metric="m", required=Required(low=low))
        checks = decide("g", measures, [requirement], confidence=confidence)
        if settled(checks):
            break
    return checks[0]


def test_the_bounds_are_where_the_mixture_reaches_its_limit():
    interval = confidence_sequence([(40, 100)], 0.95)
    for share in (interval.low, interval.high):
        # log of the beta(1/2, 1/2) mixture of 40 hits and 60 misses, less that at the bound.
        mixed = math.lgamma(40.5) + math.lgamma(60.5) - math.lgamma(101) - math.log(math.pi)
        plain = 40 * math.log(share) + 60 * math.log(1 - share)
        assert mixed - plain == pytest.approx(math.log(20), abs=1e-6)
    assert interval.low < 0.4 < interval.high


@pytest.mark.parametrize("hits", [0, 30])
def test_all_or_none_leave_one_side_open(hits):
    interval = confidence_sequence([(hits, 30)], 0.95)
    assert (interval.low == 0) == (hits == 0)
    assert (interval.high == 1) == (hits == 30)
    assert 0.1 < interval.high - interval.low < 0.3


def test_nothing_seen_rules_out_nothing():
    interval = confidence_sequence([(0, 0)], 0.95)
    assert (interval.low, interval.high) == (0, 1)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_true_share_stays_inside_at_every_look_together(share):
    generator = np.random.default_rng(3)
    missed = 0
    for _ in range(300):
        looks = trace(generator.random(600) < share, 600)
        interval = confidence_sequence(looks, 0.9)
        missed += not interval.low <= share <= interval.high
    assert missed / 300 <= 0.1


def test_a_sequence_only_narrows():
    looks = trace(np.random.default_rng(1).random(400) < 0.6, 400)
    widths = [
        (found := confidence_sequence(looks[:n], 0.95)).high - found.low
        for n in range(1, len(looks) + 1)
    ]
    assert widths == sorted(widths, reverse=True)


def test_a_clear_model_is_settled_at_the_first_look():
    good = judged(np.ones(1000), 1000, low=0.5)
    assert (good.outcome, good.samples) == (Outcome.PASSED, 30)
    bad = judged(np.zeros(1000), 1000, low=0.5)
    assert (bad.outcome, bad.samples) == (Outcome.FAILED, 30)


def test_the_last_look_loses_little_against_a_test_of_all_at_once():
    hits = np.tile([1, 1, 1, 0], 100)
    fixed, last = proportion(300, 400).interval(0.95), sequential(trace(hits, 400), planned=400)
    assert last.interval(0.95).low == pytest.approx(fixed.low, abs=0.01)
    before = sequential(trace(hits, 4000)[:8], planned=4000).interval(0.95)
    assert before.low < last.interval(0.95).low


def test_what_all_samples_cannot_decide_is_insufficient_evidence_with_the_number_it_takes():
    check = judged(np.tile([1, 1, 0, 1, 0], 40), 200, low=0.55)
    assert check.outcome is Outcome.INSUFFICIENT
    assert check.samples == 200
    assert check.samples_needed is not None
    assert 500 < check.samples_needed < 5000
    assert re.search(r"200 samples cannot tell, about [\d.]+ times these data would", check.reason)


def test_every_sample_is_in_one_batch_and_the_first_is_enough_to_pass():
    slices = list(batches(1000))
    assert [s.start for s in slices] == [0, *(s.stop for s in slices[:-1])]
    assert (slices[0].stop, slices[-1].stop) == (30, 1000)
    assert len(slices) < 20
    assert list(batches(7)) == [slice(0, 7)]


@pytest.mark.parametrize("looks", [[(3, 2)], [(-1, 2)], [(1, 5), (1, 4)]])
def test_looks_that_cannot_be_are_refused(looks):
    with pytest.raises(ValueError, match="expected successes <= samples"):
        confidence_sequence(looks, 0.95)


def test_wrong_verdicts_on_the_border_keep_to_the_declared_error():
    generator = np.random.default_rng(7)
    wrong = 0
    for _ in range(200):
        hits = generator.random(500) < 0.5
        wrong += judged(hits, 500, low=0.5001, confidence=0.9).outcome is Outcome.PASSED
    assert wrong / 200 <= 0.1
