"""Checks decide on bounds, and nothing broken ever passes."""

import math

import pytest

from trust_gates.verdict import Check, Evidence, Interval, Outcome, Required, decisive

NAN = math.nan


def interval(low, high):
    return Interval(low=low, high=high, confidence=0.95)


@pytest.mark.parametrize(
    ("required", "measured", "bounds", "outcome"),
    [
        (Required(low=0.8), 0.9, (0.85, 0.95), Outcome.PASSED),
        (Required(low=0.8), 0.9, (0.75, 0.95), Outcome.INSUFFICIENT),
        (Required(low=0.8), 0.7, (0.65, 0.75), Outcome.FAILED),
        (Required(low=0.8), 0.79, (0.70, 0.85), Outcome.INSUFFICIENT),
        (Required(low=-0.1, high=0.1), 0.0, (-0.05, 0.05), Outcome.PASSED),
        (Required(low=-0.1, high=0.1), 0.0, (-0.2, 0.2), Outcome.INSUFFICIENT),
        (Required(low=-0.1, high=0.1), NAN, (-0.05, 0.05), Outcome.FAILED),
        (Required(low=-0.1, high=0.1), 0.0, (NAN, NAN), Outcome.FAILED),
        (Required(high=0.1), NAN, (NAN, NAN), Outcome.FAILED),
    ],
)
def test_an_interval_inside_passes_one_outside_fails_and_any_other_cannot_tell(
    required, measured, bounds, outcome
):
    assert required.decide(measured, interval(*bounds)) is outcome


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="expected low <= high"):
        Required(low=1, high=0)


def check(outcome=Outcome.PASSED, measured=0.9):
    return Check(
        gate="quality",
        name="accuracy",
        measured=measured,
        interval=interval(0.85, 0.95),
        required=Required(low=0.8),
        samples=100,
        outcome=outcome,
        reason="because",
    )


@pytest.mark.parametrize("measured", [0.9, NAN])
def test_a_check_survives_json(measured):
    original = check(measured=measured)
    again = Check.from_json(original.to_json())
    assert repr(again) == repr(original)


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        ([], Outcome.INSUFFICIENT),
        ([Outcome.PASSED], Outcome.PASSED),
        ([Outcome.PASSED, Outcome.INSUFFICIENT], Outcome.INSUFFICIENT),
        ([Outcome.INSUFFICIENT, Outcome.FAILED], Outcome.FAILED),
    ],
)
def test_evidence_is_as_good_as_its_worst_check(outcomes, worst):
    assert Evidence(gate="quality", checks=[check(o) for o in outcomes]).outcome is worst


def _named(name, outcome, measured, low, high, required):
    return Check(
        gate="quality",
        name=name,
        measured=measured,
        interval=interval(low, high),
        required=required,
        samples=100,
        outcome=outcome,
        reason=name,
    )


def test_the_check_that_decided_comes_first():
    passed, failed, open_ = Outcome.PASSED, Outcome.FAILED, Outcome.INSUFFICIENT
    checks = [
        _named("of none", passed, 0, 0, 0, Required(high=0)),
        _named("counted", passed, 0.6, 0.6, 0.6, Required(high=0.9)),
        _named("far", passed, 0.9, 0.85, 0.95, Required(low=0.5)),
        _named("close", passed, 0.9, 0.85, 0.95, Required(low=0.84)),
        _named("close above", passed, 0.1, 0.05, 0.19, Required(low=-0.9, high=0.2)),
        _named("open", open_, 0.5, 0.4, 0.6, Required(low=0.45)),
        _named("broken", failed, NAN, NAN, NAN, Required(low=0.45)),
        _named("failed", failed, 0.2, 0.1, 0.3, Required(low=0.45)),
    ]
    names = [check.name for check in decisive(checks)]
    assert names == [
        *("broken", "failed", "open"),
        *("close above", "close", "far", "counted", "of none"),
    ]
