"""The verdict decides again: evidence can only lose by what its gate says of it."""

import math
from dataclasses import replace

import pytest
from verdict_inputs import EXAMPLE, checks

from touchstone.contract import model_repo
from trust_gates.recomputed import recomputed
from trust_gates.verdict import Evidence, Interval, Outcome, Required

GATES = model_repo.load(EXAMPLE).spec.gates
NAMES = ("quality", "robustness", "fairness", "explainability", "integrity")


def held(gate, found):
    return recomputed(Evidence(gate=gate, checks=found), GATES.policy(gate), confidence=0.95)


@pytest.mark.parametrize("gate", NAMES)
def test_evidence_that_says_what_its_figures_say_stays_as_it_is(gate):
    found = checks(gate)
    assert held(gate, found).checks == found


@pytest.mark.parametrize("gate", NAMES)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"required": Required(low=-100, high=100)}, "was held to"),
        ({"name": "something_else"}, "requires nothing of that name"),
        ({"gate": "another"}, "a check of the another gate"),
        (
            {"interval": Interval(low=-50, high=50, confidence=0.99)},
            "said to have passed",
        ),
        ({"measured": math.nan}, "said to have passed"),
    ],
)
def test_a_check_that_does_not_hold_fails_and_says_why(gate, changes, why):
    first, *rest = checks(gate)
    found = held(gate, [replace(first, **changes), *rest]).checks
    assert found[0].outcome is Outcome.FAILED
    assert why in found[0].reason
    assert [one.outcome for one in found[1 : 1 + len(rest)]] == [Outcome.PASSED] * len(rest)


def test_an_interval_at_less_confidence_than_the_policy_asks_for_fails():
    first, *rest = checks("quality")
    loose = replace(first, interval=replace(first.interval, confidence=0.5))
    assert "at 0.5, the policy asks for 0.95" in held("quality", [loose, *rest]).checks[0].reason


@pytest.mark.parametrize("gate", NAMES)
def test_what_the_policy_requires_and_no_check_is_about_fails(gate):
    first, *rest = checks(gate)
    absent = [one for one in held(gate, rest).checks if one.name == first.name]
    assert [one.outcome for one in absent] == [Outcome.FAILED]
    assert "the evidence has no such check" in absent[0].reason


def test_what_a_gate_refused_stays_refused_whatever_its_figures_say():
    first, *rest = checks("quality")
    refused = replace(first, outcome=Outcome.INSUFFICIENT)
    assert held("quality", [refused, *rest]).outcome is Outcome.INSUFFICIENT


def test_a_figure_of_each_comparison_is_held_to_the_policys_one_requirement():
    first, *rest = checks("fairness")
    both = [replace(first, name=f"{first.name}[{who}]") for who in ("a", "b")]
    assert held("fairness", [*both, *rest]).outcome is Outcome.PASSED
