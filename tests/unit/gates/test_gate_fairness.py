"""Groups are compared as AIF360 does, with spread, and nothing absent or tiny ever passes."""

import math

import numpy as np
import pytest
from gate_models import linear_samples, linear_target, spot_samples, spot_target

from trust_gates import fairness
from trust_gates.fairness import counts
from trust_gates.fairness.rows import Rows, of_detector
from trust_gates.samples import Boxes, Samples
from trust_gates.statistics import Requirement
from trust_gates.verdict import Outcome, Required

GAP = "equal_opportunity_difference"


def rows(*groups):
    """Rows of (privileged, truth, predicted, how many)."""
    table = np.array([group[:3] for group in groups for _ in range(group[3])], dtype=bool)
    return Rows(
        privileged=table[:, 0],
        truth=table[:, 1],
        predicted=table[:, 2],
        unit=np.arange(len(table)),
    )


def policy(metric=GAP, low=-0.1, high=0.1, **more):
    return fairness.Policy(
        requirements=[Requirement(metric=metric, required=Required(low=low, high=high))],
        protected="lighting",
        privileged=["day"],
        **more,
    )


def even(n):
    return rows(
        *((group, truth, truth, n) for group in (0, 1) for truth in (0, 1)),
        *((group, truth, 1 - truth, n // 10) for group in (0, 1) for truth in (0, 1)),
    )


def test_equal_groups_pass():
    evidence = fairness.judge_rows(even(1000), policy())
    assert evidence.outcome is Outcome.PASSED
    assert evidence.checks[0].measured == 0
    assert evidence.pictures["fairness"].startswith(b"\x89PNG")
    assert set(counts.METRICS) <= set(evidence.figures)


def test_a_group_that_is_missed_more_fails_by_its_sign():
    uneven = rows(
        (1, 1, 1, 90), (1, 1, 0, 10), (0, 1, 1, 50), (0, 1, 0, 50), (0, 0, 0, 50), (1, 0, 0, 50)
    )
    evidence = fairness.judge_rows(uneven, policy())
    assert evidence.checks[0].measured == pytest.approx(-0.4)
    assert evidence.outcome is Outcome.FAILED
    assert evidence.figures["false_negative_rate_difference"] == pytest.approx(0.4)


def test_equal_but_few_is_insufficient_evidence():
    evidence = fairness.judge_rows(even(40), policy())
    assert evidence.outcome is Outcome.INSUFFICIENT
    assert evidence.checks[0].samples_needed > 40


def test_perfect_but_few_is_not_certain():
    perfect = rows(*((group, truth, truth, 32) for group in (0, 1) for truth in (0, 1)))
    check = fairness.judge_rows(perfect, policy(low=-0.01, high=0.01)).checks[0]
    assert check.measured == 0
    assert check.outcome is Outcome.INSUFFICIENT


def test_a_group_below_the_minimum_is_insufficient_evidence():
    small = rows((1, 1, 1, 500), (1, 0, 0, 500), (0, 1, 1, 29), (0, 0, 0, 500))
    check = fairness.judge_rows(small, policy(low=-0.9, high=0.9)).checks[0]
    assert check.outcome is Outcome.INSUFFICIENT
    assert check.samples_needed == 30


@pytest.mark.parametrize(
    "groups",
    [
        [(1, 1, 1, 50), (1, 0, 0, 50)],
        [(0, 1, 1, 50), (0, 0, 0, 50)],
        [(1, 1, 1, 50), (0, 0, 0, 50)],
        [(1, 0, 0, 50), (0, 1, 1, 50)],
    ],
)
def test_an_absent_group_fails(groups):
    check = fairness.judge_rows(rows(*groups), policy(low=-2, high=2)).checks[0]
    assert check.outcome is Outcome.FAILED
    assert math.isnan(check.measured)
    assert "there are no samples" in check.reason


def test_a_figure_that_is_undefined_fails():
    no_negatives = rows((1, 1, 1, 500), (1, 1, 0, 50), (0, 1, 1, 500), (0, 1, 0, 50))
    check = fairness.judge_rows(
        no_negatives, policy("average_odds_difference", low=-1, high=1)
    ).checks[0]
    assert check.outcome is Outcome.FAILED


def test_nobody_selected_gives_no_disparate_impact():
    nobody = rows(*((group, truth, 0, 50) for group in (0, 1) for truth in (0, 1)))
    check = fairness.judge_rows(nobody, policy("disparate_impact", low=0.0, high=9.0)).checks[0]
    assert check.outcome is Outcome.FAILED


def test_a_classifier_is_judged_by_its_favorable_class():
    weight = np.ones(6)
    plain = linear_samples(weight, count=400)
    groups = np.where(np.arange(400) % 2, "day", "night")
    samples = Samples(
        inputs=plain.inputs,
        classes=plain.classes,
        labels=plain.labels,
        groups={"lighting": groups},
    )
    for favorable in ("yes", 1):
        evidence = fairness.judge(linear_target(weight), samples, policy(favorable=favorable))
        assert evidence.figures["accuracy"] == 1.0
    with pytest.raises(ValueError, match="got the favorable class 'maybe'"):
        fairness.judge(linear_target(weight), samples, policy(favorable="maybe"))


def test_a_detector_that_misses_objects_by_night_is_refused():
    samples = spot_samples(count=120)
    dark = np.arange(120) % 2 == 1
    inputs = samples.inputs.copy()
    inputs[dark] *= 0.7
    judged = Samples(
        inputs=inputs,
        classes=samples.classes,
        objects=samples.objects,
        groups={"lighting": np.where(dark, "night", "day")},
    )
    evidence = fairness.judge(spot_target(), judged, policy())
    assert evidence.outcome is Outcome.FAILED
    assert evidence.checks[0].measured == pytest.approx(-1, abs=0.1)


def test_rows_of_a_detector_are_objects_and_absent_classes():
    first = np.array([[0, 0, 8, 8]])
    truth = Boxes(boxes=first, labels=np.array([1]))
    claims = Boxes(
        boxes=np.array([[0, 0, 8, 8], [20, 20, 28, 28], [40, 40, 48, 48]]),
        labels=np.array([1, 2, 0]),
        scores=np.array([0.9, 0.8, 0.1]),
    )
    samples = Samples(
        inputs=np.zeros((1, 3, 64, 64), np.float32), classes=["a", "b", "c"], objects=[truth]
    )
    found = of_detector([claims], samples, np.array([True]))
    assert found.truth.tolist() == [True, False, False]
    assert found.predicted.tolist() == [True, False, True]  # the claim of class a is not sure


def test_an_unknown_attribute_names_the_known_ones():
    with pytest.raises(ValueError, match=r"got the protected attribute 'lighting'.*it has none"):
        fairness.judge(linear_target(np.ones(3)), linear_samples(np.ones(3)), policy())
