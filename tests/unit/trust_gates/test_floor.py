"""Nobody sets their own yardstick: whatever a policy asks less of than the floor is told."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from touchstone.contract import model_repo
from touchstone.delivery.environment import EnvironmentPolicy, data_of, parse
from touchstone.delivery.gitops import DEFAULT_POLICY
from touchstone.home import SHIPPED
from touchstone.training import dataset
from touchstone.training.load import load_spec
from touchstone.training.tables import encode, read
from trust_gates import GATES
from trust_gates.floor import Facts, Floor
from trust_gates.gates import Gates

POLICY = parse(DEFAULT_POLICY, location="environment.yaml")
EXAMPLES = SHIPPED / "training" / "examples"
FEATURES = ["age", "bmi", "bp", "s1"]
SOUND: dict[str, Any] = {
    "quality": {"checks": [{"metric": "accuracy", "atLeast": 0.7}]},
    "robustness": {
        "epsilon": "8/255",
        "checks": [{"metric": "robust_accuracy", "atLeast": 0.5}],
    },
    "fairness": {
        "protected": "sex",
        "privileged": ["f"],
        "checks": [{"metric": "statistical_parity_difference", "within": [-0.1, 0.1]}],
    },
    "explainability": {"checks": [{"metric": "faithfulness", "atLeast": 0.1}]},
}


def data(test: int = 200, protected: tuple[str, ...] = ("sex",), **inputs: Any) -> Facts:
    return Facts.model_validate(
        {
            "task": "classification",
            "protected": dict.fromkeys(protected, ("f", "m")),
            "inputs": {"low": 0.0, "high": 1.0, "features": FEATURES, **inputs},
            "test": test,
        }
    )


def policies(gate: str = "", **changes: Any) -> Gates:
    """The sound policies, with `changes` to one gate, or to what all share."""
    document = json.loads(json.dumps(SOUND))
    (document.setdefault(gate, {}) if gate else document).update(changes)
    return Gates.model_validate(document)


def told(gates: Gates, known: Facts | None = None, policy: EnvironmentPolicy = POLICY) -> str:
    return "\n".join(policy.problems(gates, known, place="production/environment.yaml"))


def test_sound_policies_and_data_meet_the_floor_of_a_new_repository() -> None:
    assert told(policies()) == told(policies(), data()) == ""


@pytest.mark.parametrize(
    "example",
    sorted(file.parent for file in EXAMPLES.glob("*/touchstone.yaml")),
    ids=lambda folder: folder.name,
)
def test_the_examples_and_their_data_meet_the_floor_of_a_new_repository(example: Any) -> None:
    asked = model_repo.load(example).spec
    if asked.data.is_table:
        raw = encode.raw(read.read(example / asked.data.uri, asked.data.uri), asked.data)
    else:
        raw = load_spec(example, asked.entrypoint).load_data(asked.data.uri, seed=asked.data.seed)
    described = raw.description
    facts = {"task": described.task, "protected": described.protected, "inputs": described.inputs}
    test = len(dataset.split(raw).splits["test"]["inputs"])
    known = data_of({**facts, "samples": {"test": test}})
    assert told(asked.gates) == told(asked.gates, known) == ""


AT_LEAST = "production/environment.yaml asks"
VACUOUS = [
    ("", {"confidence": 0.5000001}, "confidence: touchstone.yaml asks 0.5000001, {} 0.9 at least"),
    (
        "quality",
        {"checks": [{"metric": "accuracy", "atLeast": 0}]},
        "quality accuracy: touchstone.yaml asks >= 0, {} >= 0.5 at least",
    ),
    (
        "quality",
        {"checks": [{"metric": "ece", "atMost": 1}]},
        "accuracy or balanced_accuracy or map50 or r2: touchstone.yaml asks nothing, {} >= 0.5",
    ),
    (
        "quality",
        {"checks": [{"metric": "accuracy", "atMost": 1}]},
        "quality accuracy: touchstone.yaml asks <= 1, {} >= 0.5 at least",
    ),
    (
        "quality",
        {"checks": [{"metric": "accuracy", "within": [0, 1]}]},
        "quality accuracy: touchstone.yaml asks in [0, 1], {} >= 0.5 at least",
    ),
    ("quality", {"minimumSlice": 10**6}, "quality minimumSlice: touchstone.yaml asks 1000000, {}"),
    ("quality", {"champion": {"margin": 0.99}}, "champion margin: touchstone.yaml asks 0.99, {}"),
    (
        "robustness",
        {"checks": [{"metric": "loss_sensitivity", "atMost": 1e9}]},
        "robust_map50 or robust_within_tolerance: touchstone.yaml asks nothing, {} >= 0.3",
    ),
    ("robustness", {"epsilon": 2e-6}, "epsilon under linf: touchstone.yaml asks 2e-06, {} 0.0039"),
    (
        "robustness",
        {"norm": "l0", "epsilon": 1, "attacks": ["jsma", "sparse-rs"]},
        "robustness norm: touchstone.yaml asks l0, {} linf",
    ),
    (
        "robustness",
        {"attacks": ["vat", "square"]},
        "robustness attacks: touchstone.yaml asks vat, square, {} for pgd or apgd-ce",
    ),
    ("robustness", {"steps": 1}, "steps of pgd: touchstone.yaml asks 1, {} 20 at least"),
    ("robustness", {"queries": 40}, "queries of square: touchstone.yaml asks 40, {} 500 at least"),
    ("robustness", {"samples": 1}, "robustness samples: touchstone.yaml asks 1, {} 64 at least"),
    ("robustness", {"immutable": FEATURES[:-1]}, "reach: touchstone.yaml asks 0.25, {} 0.5"),
    (
        "robustness",
        {"bounds": dict.fromkeys(FEATURES, [0.5, 0.5])},
        "reach: touchstone.yaml asks 0, {} 0.5",
    ),
    (
        "robustness",
        {"bounds": dict.fromkeys(FEATURES, [float("nan"), float("nan")])},
        "reach: touchstone.yaml asks 0, {} 0.5",
    ),
    (
        "robustness",
        {"bounds": dict.fromkeys(FEATURES, [2, 3])},
        "reach: touchstone.yaml asks 0, {} 0.5",
    ),
    (
        "fairness",
        {"checks": [{"metric": "statistical_parity_difference", "within": [-1, 1]}]},
        "touchstone.yaml asks in [-1, 1], {} in [-0.5, 0.5] at most",
    ),
    (
        "fairness",
        {"checks": [{"metric": "disparate_impact", "atLeast": 0.8}]},
        "fairness disparate_impact: touchstone.yaml asks >= 0.8, {} in [0.5, 2] at most",
    ),
    ("fairness", {"minimumGroup": 1}, "minimumGroup: touchstone.yaml asks 1, {} 20 at least"),
    (
        "fairness",
        {"protected": "region"},
        "fairness attributes: touchstone.yaml asks region, {} for sex too",
    ),
    ("explainability", {"samples": 1}, "samples: touchstone.yaml asks 1, {} 32 at least"),
    ("explainability", {"proxy": 1}, "proxy: touchstone.yaml asks 1, {} 0.5 at most"),
    (
        "explainability",
        {"protected": ["region"]},
        "explainability protected: touchstone.yaml asks region, {} for sex too",
    ),
    (
        "explainability",
        {"checks": [{"metric": "faithfulness", "atLeast": -1}]},
        "explainability faithfulness: touchstone.yaml asks >= -1, {} >= 0.05",
    ),
    (
        "integrity",
        {"checks": [{"metric": "single_feature_accuracy", "atMost": 1}]},
        "integrity single_feature_accuracy: touchstone.yaml asks <= 1, {} <= 0.99 at most",
    ),
    (
        "integrity",
        {"checks": [{"metric": "near_duplicate_rate", "atMost": 1}]},
        "integrity near_duplicate_rate: touchstone.yaml asks <= 1, {} <= 0.05 at most",
    ),
]


@pytest.mark.parametrize(("gate", "changes", "expected"), VACUOUS)
def test_each_setting_that_asks_for_nothing_is_told_with_both_values(
    gate: str, changes: dict[str, Any], expected: str
) -> None:
    found = told(policies(gate, **changes), data()).splitlines()
    assert sum(expected.format(AT_LEAST) in problem for problem in found) == 1


def test_what_needs_no_data_is_told_without() -> None:
    """Before a push, and before the model's code loads anything."""
    only = ("reach", "attributes", "protected", "queries")
    early = [case for case in VACUOUS if not any(word in case[2] for word in only)]
    assert len(early) > 20
    for gate, changes, expected in early:
        assert expected.format(AT_LEAST) in told(policies(gate, **changes))


@pytest.mark.parametrize("gate", ["quality", "robustness", "explainability"])
def test_a_gate_that_is_left_out_is_told(gate: str) -> None:
    document = {name: value for name, value in SOUND.items() if name != gate}
    assert f"{gate}: touchstone.yaml has no spec.gates.{gate}" in told(
        Gates.model_validate(document)
    )


def test_an_attribute_that_the_data_declare_must_be_judged_by_somebody() -> None:
    gates = Gates.model_validate({k: v for k, v in SOUND.items() if k != "fairness"})
    expected = "fairness attributes: touchstone.yaml asks for none, production/environment.yaml"
    assert told(gates, data()).startswith(f"{expected} asks for sex too")
    assert told(gates, data(protected=())) == ""


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (data(test=10), "quality samples: touchstone.yaml asks for a decision on the data's 10"),
        (data(high=1e6), "as a share of the inputs' range: touchstone.yaml asks 3.137254902e-08"),
        (data(immutable=FEATURES), "reach: touchstone.yaml asks 0,"),
        (data(categorical=FEATURES), "reach: touchstone.yaml asks 0,"),
        (
            data(categorical=FEATURES[2:], immutable=["age", "bmi"]),
            "reach: touchstone.yaml asks 0,",
        ),
        (data(bounds=dict.fromkeys(FEATURES, [0.4, 0.5])), "reach: touchstone.yaml asks 0.1,"),
    ],
)
def test_what_the_data_say_of_themselves_is_held_to_the_floor_too(
    known: Facts, expected: str
) -> None:
    """`load_data` is the author's code."""
    (problem,) = told(policies(), known).splitlines()
    assert expected in problem


def test_a_floor_in_shares_of_the_range_alone_keeps_other_norms_out_too() -> None:
    policy = parse("gates: {robustness: {epsilonOfRange: {linf: 1/255}}}", location="-")
    assert told(policies(), data(), policy) == ""
    for known in (None, data()):
        found = told(policies("robustness", norm="l2", epsilon=1e-6), known, policy)
        assert f"robustness norm: touchstone.yaml asks l2, {AT_LEAST} linf" in found


def test_of_tokens_an_epsilon_is_a_share_of_the_range_already() -> None:
    """Their indices go up to any number: what moves is their vectors."""
    tokens = {"features": (), "low": 0, "high": 30_000}
    found = told(policies(), data(**tokens))
    assert "as a share of the inputs' range" in found
    assert "as a share" not in told(policies(), data(**tokens, dtype="int64"))


def test_a_metric_that_is_checked_twice_is_a_wrong_policy_in_every_gate() -> None:
    """Of two requirements no verdict could tell which one its evidence was held to."""
    integrity = {"checks": [{"metric": "near_duplicate_rate", "atMost": 0.01}]}
    for gate, one in {**SOUND, "integrity": integrity}.items():
        (check,) = one["checks"]
        with pytest.raises(ValidationError, match=f"got several checks of {check['metric']}"):
            policies(gate, checks=[check, check], **{k: v for k, v in one.items() if k != "checks"})


def test_a_table_of_many_categories_is_no_loose_one() -> None:
    """German-like: most columns are codes, of which an attacker changes none by a little."""
    assert told(policies(), data(categorical=FEATURES[1:])) == ""


def floor(gate: str, **section: Any) -> EnvironmentPolicy:
    return EnvironmentPolicy(gates=Floor.model_validate({gate: section}))


@pytest.mark.parametrize(
    ("policy", "changes", "expected"),
    [
        (floor("quality", champion=True), {}, "quality champion: touchstone.yaml asks nothing"),
        (floor("robustness", immutable=["age"]), {"immutable": ["age"]}, ""),
        (floor("robustness", immutable=[]), {"immutable": ["age"]}, "immutable: touchstone.yaml"),
        (floor("robustness", bounds={"age": [0, 1]}), {"bounds": {"age": [-1, 2]}}, ""),
        (
            floor("robustness", bounds={"age": [0, 1]}),
            {"bounds": {"age": [0, 0.9]}},
            "bounds of age: touchstone.yaml asks [0.0, 0.9]",
        ),
        (
            floor("robustness", bounds={"age": [0, 1]}),
            {"bounds": {"age": [float("nan"), 1]}},
            "bounds of age: touchstone.yaml asks [nan, 1.0]",
        ),
        (floor("robustness", bounds={}), {"bounds": {"bmi": [0, 1]}}, "bounds of bmi: touch"),
        (floor("robustness", steps=50), {}, "steps of pgd: touchstone.yaml asks 20"),
        (floor("robustness", steps=5, attacks=["pgd"]), {"steps": 7}, ""),
        (floor("robustness", attacks=["autoattack"]), {}, "asks fgsm, pgd, square"),
        (floor("robustness", attacks=["autoattack"]), {"attacks": ["autoattack"]}, ""),
        (
            floor("robustness", attacks=["autoattack"]),
            {"attacks": ["autoattack"], "queries": 4999},
            "queries of square: touchstone.yaml asks 4999",
        ),
        (floor("robustness", attacks=[["pgd", "apgd-ce"]]), {"attacks": ["autoattack"]}, ""),
        (floor("fairness", attributes=["sex"]), {}, ""),
        (floor("fairness", attributes=["age", "sex"]), {}, "asks sex, the floor asks for age too"),
        (floor("fairness", alpha=2), {"alpha": -9}, "alpha: touchstone.yaml asks -9"),
        (floor("integrity", pinned=True), {}, "integrity pinned: touchstone.yaml asks false"),
        (floor("integrity", poisoning={}), {}, "integrity poisoning: touchstone.yaml asks nothing"),
        (floor("integrity", poisoning={}), {"poisoning": {}}, ""),
        (
            floor("integrity", poisoning={}),
            {"poisoning": {"samples": 50}},
            "poisoning samples: touchstone.yaml asks 50",
        ),
        (floor("explainability", protected=["age"]), {}, "explainability protected: touchstone"),
    ],
)
def test_an_organisation_may_ask_for_more(
    policy: EnvironmentPolicy, changes: dict[str, Any], expected: str
) -> None:
    (gate,) = (name for name in GATES if getattr(policy.gates, name) != getattr(Floor(), name))
    found = "\n".join(policy.gates.problems(policies(gate, **changes), data()))
    assert expected in found
    assert bool(found) == bool(expected)


def test_stricter_than_the_floor_is_always_well() -> None:
    stricter = {
        "confidence": 0.99,
        "quality": {"checks": [{"metric": "accuracy", "within": [0.9, 1]}], "minimumSlice": 1},
        "robustness": {
            "epsilon": 0.5,
            "attacks": ["autoattack", "pgd"],
            "steps": 500,
            "queries": 9999,
            "samples": 10**6,
            "checks": [{"metric": "robust_accuracy", "atLeast": 0.99}],
        },
        "fairness": {
            "protected": [{"name": n, "privileged": ["f"]} for n in ("sex", "region")],
            "minimumGroup": 900,
            "checks": [
                {"metric": "statistical_parity_difference", "within": [0, 0]},
                {"metric": "theil_index", "atMost": 100},
            ],
        },
        "explainability": {
            "checks": [{"metric": "faithfulness", "atLeast": 0.9}],
            "protected": ["sex", "region"],
            "proxy": 0.1,
            "samples": 999,
        },
        "integrity": {"checks": [{"metric": "near_duplicate_rate", "atMost": 0}]},
    }
    assert told(Gates.model_validate(stricter), data()) == ""


HELD = {
    "checks": "by the checks of the floor",
    "quality.champion": "margin, champion",
    "quality.minimum_slice": "minimumSlice",
    "robustness.norm": "the norms of epsilon",
    "robustness.epsilon": "epsilon, epsilonOfRange",
    "robustness.attacks": "attacks",
    "robustness.samples": "samples",
    "robustness.tolerance": "tolerance",
    "robustness.steps": "steps",
    "robustness.queries": "queries",
    "robustness.immutable": "immutable, reach",
    "robustness.bounds": "bounds, reach",
    "robustness.sequential": "free: it stops where the samples decide at the confidence asked",
    "robustness.figures": "free: further figures",
    "robustness.sweep": "free: a picture",
    "fairness.protected": "attributes",
    "fairness.privileged": "free of all groups, which preprocess refuses; who they are is said",
    "fairness.favorable": "free of all classes, which preprocess refuses; which it is is said",
    "fairness.minimum_group": "minimumGroup",
    "fairness.alpha": "alpha",
    "explainability.method": "free: each is held to faithfulness",
    "explainability.samples": "samples",
    "explainability.protected": "protected",
    "explainability.proxy": "proxy",
    "integrity.poisoning": "poisoning",
    "integrity.pinned": "pinned",
}


def test_every_key_of_a_policy_is_held_by_a_floor_or_said_to_be_free() -> None:
    """A new key that can ask for less belongs into the floor."""
    from importlib import import_module

    found = set()
    for gate in GATES:
        policy = getattr(import_module(f"trust_gates.{gate}.policy"), gate.capitalize())
        found |= {key if key == "checks" else f"{gate}.{key}" for key in policy.model_fields}
    assert found == set(HELD)


def test_an_attack_has_its_own_effort_on_detectors() -> None:
    """Before the data say what the task is, what either needs is enough."""
    gates = policies("robustness", queries=60)
    asked = "queries of square: touchstone.yaml asks 60, production/environment.yaml asks 500"
    assert told(gates) == told(gates, data().model_copy(update={"task": "detection"})) == ""
    assert asked in told(gates, data())


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"quality": {"checks": [{"metric": "charm", "atLeast": 1}]}}, "got the metric 'charm'"),
        ({"quality": {"checks": [[]]}}, "in each list within the list at least one"),
        ({"robustness": {"epsilon": {"linf": 0}}}, "greater than 0"),
        ({"robustness": {"attacks": ["charm"]}}, "one of ["),
        ({"charm": {}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_floor_is_refused(section: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected.replace("[", r"\[")):
        Floor.model_validate(section)


def test_the_floor_of_a_new_repository_follows_the_published_schema() -> None:
    from touchstone.documents import yaml

    document = yaml.load_one(DEFAULT_POLICY, "environment.yaml")
    assert document is not None
    jsonschema.validate(document.body, EnvironmentPolicy.model_json_schema())
    assert EnvironmentPolicy.model_validate(POLICY.plain()) == POLICY
