"""A policy from plain data is the gate's own, and whatever is not one is refused by its key."""

import math

import pytest

from trust_gates import policies
from trust_gates.errors import PolicyError

CHECKS = [{"metric": "accuracy", "atLeast": 0.8}]


def test_every_key_of_touchstone_yaml_reaches_the_policy():
    gates = {
        "confidence": 0.9,
        "fairness": {
            "protected": "sex",
            "privileged": ["f"],
            "favorable": "yes",
            "minimumGroup": 12,
            "checks": [{"metric": "disparate_impact", "within": ["4/5", 1.25], "atMost": None}],
        },
    }
    policy = policies.of("fairness", gates, seed=3)
    assert (policy.minimum_group, policy.confidence, policy.seed) == (12, 0.9, 3)
    (requirement,) = policy.requirements
    assert (requirement.required.low, requirement.required.high) == (0.8, 1.25)


def test_fractions_are_numbers_in_lists_too():
    checks = [{"metric": "robust_accuracy", "atMost": 0.5}]
    section = {"epsilon": "8/255", "sweep": ["1/255", 0.5], "checks": checks}
    policy = policies.of("robustness", {"robustness": section})
    assert policy.epsilon == pytest.approx(8 / 255)
    assert list(policy.sweep) == pytest.approx([1 / 255, 0.5])
    assert policy.requirements[0].required.low == -math.inf


@pytest.mark.parametrize(
    ("gates", "problem"),
    [
        ({}, "got a policy for no gate, expected one for quality"),
        ({"fairness": {}}, "got a policy for fairness, expected one for quality"),
        (
            {"quality": {"checks": CHECKS, "cheks": 1}},
            "got the key 'cheks', expected one of: checks",
        ),
        ({"quality": {}}, "gates.quality: .*requirements"),
        ({"quality": {"checks": [{"metric": "accuracy"}]}}, "exactly one of"),
        ({"quality": {"checks": [{**CHECKS[0], "atMost": 1}]}}, "exactly one of"),
        ({"quality": {"checks": [{"metric": "accuracy", "atLeast": "high"}]}}, "exactly one of"),
        ({"quality": {"checks": ["accuracy"]}}, "exactly one of"),
        ({"quality": {"checks": [{"metric": "accuracy", "within": [1, 0]}]}}, "low <= high"),
    ],
)
def test_what_is_no_policy_is_refused(gates, problem):
    with pytest.raises(PolicyError, match=problem):
        policies.of("quality", gates)
