"""A policy from plain data is the gate's own, and whatever is not one is refused by its key."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from trust_gates import policies
from trust_gates.errors import PolicyError
from trust_gates.statistics import Requirement

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
    assert (policy.minimum_group, policy.seed) == (12, 3)
    assert policy.confidence == pytest.approx(0.9)
    (requirement,) = policy.requirements
    assert (requirement.required.low, requirement.required.high) == (0.8, 1.25)


def test_gates_share_the_chance_of_error_and_integrity_takes_none():
    gates = {"confidence": 0.9, "quality": {"checks": CHECKS}, "integrity": {}}
    assert policies.of("quality", gates).confidence == pytest.approx(0.9)
    gates["robustness"] = {"epsilon": 0.1, "checks": []}
    assert policies.of("quality", gates).confidence == pytest.approx(0.95)


def test_keys_of_a_pipeline_are_left_out_where_asked_and_named():
    gates = {"quality": {"checks": CHECKS, "champion": {"margin": 0.1}, "later": None}}
    assert policies.of("quality", gates, strict=False).requirements[0].metric == "accuracy"
    assert policies.unused("quality", gates) == ["champion"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    name: str
    privileged: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class SeveralPolicy:
    requirements: Sequence[Requirement]
    protected: Sequence[Attribute]
    features: Sequence[str] = ()


@pytest.mark.parametrize(
    "section",
    [
        {"protected": [{"name": "sex", "privileged": ["f"]}], "privileged": [], "checks": []},
        {"protected": "sex", "privileged": ["f"], "checks": []},
    ],
)
def test_a_list_of_one_record_can_be_written_flat(monkeypatch, section):
    monkeypatch.setattr("trust_gates.fairness.Policy", SeveralPolicy)
    policy = policies.of("fairness", {"fairness": section}, features=("age",), seed=1)
    assert policy.protected == [Attribute(name="sex", privileged=["f"])]
    assert policy.features == ("age",)


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
        ({"quality": {}}, "gates.quality.checks is missing"),
        ({"quality": {"checks": CHECKS}, "confidence": "high"}, "gates.confidence: got 'high'"),
        ({"quality": {"checks": CHECKS}, "confidence": 95.0}, "expected a number from 0.5 to 1"),
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


def test_a_class_may_be_named_as_a_fraction_is_written():
    section = {"protected": "g", "privileged": ["1/2"], "favorable": "1/2", "checks": []}
    policy = policies.of("fairness", {"fairness": section})
    assert policy.favorable == "1/2"
    assert policy.protected[0].privileged == ["1/2"]
