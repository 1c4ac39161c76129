"""A verdict passes only when every declared gate showed something, and its report hides nothing."""

import json
import math

import pytest

from trust_gates.report import render
from trust_gates.verdict import Check, Evidence, Interval, Outcome, Required, Verdict


def check(gate="quality", outcome=Outcome.PASSED, measured=0.9, reason="because"):
    return Check(
        gate=gate,
        name="accuracy",
        measured=measured,
        interval=Interval(low=0.85, high=0.95, confidence=0.95),
        required=Required(low=0.8),
        samples=100,
        outcome=outcome,
        reason=reason,
    )


def evidence(*checks, gate="quality", **more):
    return Evidence(gate=gate, checks=list(checks), **more)


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        ([evidence(check())], True),
        ([evidence(check(), check(outcome=Outcome.INSUFFICIENT))], False),
        ([evidence(check()), evidence(check("fairness", Outcome.FAILED), gate="fairness")], False),
        ([evidence()], False),
        ([], False),
    ],
)
def test_a_verdict_passes_only_when_every_check_did(found, passed):
    assert Verdict(evidence=found, required=["quality"]).passed is passed


def test_a_declared_gate_without_checks_is_a_failed_check():
    verdict = Verdict(evidence=[evidence(check())], required=["quality", "fairness"])
    (silent,) = [one for one in verdict.checks if one.gate == "fairness"]
    assert silent.outcome is Outcome.FAILED
    assert "left no check" in silent.reason
    assert not verdict.passed


def test_evidence_survives_json():
    original = evidence(check(), figures={"recall": math.nan, "clean": 0.5}, notes=["a note"])
    again = Evidence.from_json(json.loads(json.dumps(original.to_json())))
    assert repr(again) == repr(original)


def document(*found, **more):
    verdict = Verdict(evidence=found)
    digests = {one.gate: "sha256:" + "0" * 64 for one in found}
    return {**verdict.to_json(), "evidence": digests, "commit": "abc", **more}


def test_the_report_leads_with_what_did_not_pass():
    failed = check("fairness", Outcome.FAILED, math.nan, "no group | a\nline")
    text = render(document(evidence(check()), evidence(failed, gate="fairness")), {})
    assert text.startswith("# Trust report: refused\n\n1 of 2 checks passed.")
    assert "- ❌ **fairness**: no group \\| a line" in text
    assert "| ❌ failed | accuracy<br>share of decisions that are right; 1 is ideal | nan |" in text


def test_pictures_stand_with_their_gate_and_none_is_lost():
    pictures = {"quality-curve.png": b"", "other.png": b""}
    text = render(document(evidence(check()), seeds={"data": 7}), pictures)
    gate, rest = text.split("![other](other.png)")
    assert "## Quality" in gate and "![quality-curve](quality-curve.png)" in gate
    assert "| commit | `abc` |" in rest and "| seed: data | 7 |" in rest


def test_figures_that_no_check_requires_are_shown_too():
    text = render(document(evidence(check(), figures={"recall": math.nan, "accuracy": 0.9})), {})
    assert "| recall | not a number | share of true objects that were found; 1 is ideal |" in text
    assert "| accuracy | 0.9 |" not in text  # it is in the table of checks already
