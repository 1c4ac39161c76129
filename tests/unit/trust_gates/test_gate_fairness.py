"""Groups are compared as AIF360 does, with spread, and nothing absent or tiny ever passes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_models import linear_samples, linear_target, required, spot_samples, spot_target

from trust_gates import fairness
from trust_gates.errors import PolicyError
from trust_gates.fairness import metrics as glossary
from trust_gates.fairness.groups import Comparison, Grouping, grouping
from trust_gates.fairness.policy import Fairness, Protected
from trust_gates.fairness.rows import Rows, of_detector
from trust_gates.policy import Setting
from trust_gates.samples import Boxes, Samples
from trust_gates.target import Target
from trust_gates.verdict import Outcome

GAP = "equal_opportunity_difference"


def rows(*groups):
    """Rows of (privileged, truth, predicted, how many)."""
    table = np.array([group[:3] for group in groups for _ in range(group[3])], dtype=bool)
    return Rows(
        group=table[:, 0].astype(int),
        truth=table[:, 1],
        predicted=table[:, 2],
        unit=np.arange(len(table)),
    )


def policy(metric=GAP, low=-0.1, high=0.1, **more):
    lighting = Protected(name="lighting", privileged=["day"])
    return Fairness(
        checks=[required(metric, low=low, high=high)],
        **{"protected": [lighting], **more},
    )


TWO = Grouping(
    names=["night", "day"],
    member=np.zeros(0, int),
    comparisons=[Comparison(name="", unprivileged=[0], privileged=[1])],
)


def judge(decisions, asked):
    return fairness.judge_rows(decisions, TWO, asked)


def even(n):
    return rows(
        *((group, truth, truth, n) for group in (0, 1) for truth in (0, 1)),
        *((group, truth, 1 - truth, n // 10) for group in (0, 1) for truth in (0, 1)),
    )


def test_equal_groups_pass():
    evidence = judge(even(1000), policy())
    assert evidence.outcome is Outcome.PASSED
    assert evidence.checks[0].measured == 0
    assert evidence.pictures["fairness"].startswith(b"\x89PNG")
    named = (*glossary.PAIRS, *glossary.RATES, *glossary.INDIVIDUAL, *glossary.INTERSECTIONS)
    assert {metric.name for metric in named} <= set(evidence.figures)


def test_a_group_that_is_missed_more_fails_by_its_sign():
    uneven = rows(
        (1, 1, 1, 90), (1, 1, 0, 10), (0, 1, 1, 50), (0, 1, 0, 50), (0, 0, 0, 50), (1, 0, 0, 50)
    )
    evidence = judge(uneven, policy())
    assert evidence.checks[0].measured == pytest.approx(-0.4)
    assert evidence.outcome is Outcome.FAILED
    assert evidence.figures["false_negative_rate_difference"] == pytest.approx(0.4)


def test_equal_but_few_is_insufficient_evidence():
    evidence = judge(even(40), policy())
    assert evidence.outcome is Outcome.INSUFFICIENT
    assert evidence.checks[0].samples_needed > 40


def test_perfect_but_few_is_not_certain():
    perfect = rows(*((group, truth, truth, 32) for group in (0, 1) for truth in (0, 1)))
    check = judge(perfect, policy(low=-0.01, high=0.01)).checks[0]
    assert check.measured == 0
    assert check.outcome is Outcome.INSUFFICIENT


def test_a_group_below_the_minimum_is_insufficient_evidence():
    small = rows((1, 1, 1, 500), (1, 0, 0, 500), (0, 1, 1, 29), (0, 0, 0, 500))
    check = judge(small, policy(low=-0.9, high=0.9)).checks[0]
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
    check = judge(rows(*groups), policy(low=-1, high=1)).checks[0]
    assert check.outcome is Outcome.FAILED
    assert math.isnan(check.measured)
    assert "there are no samples" in check.reason


def test_a_figure_that_is_undefined_fails():
    no_negatives = rows((1, 1, 1, 500), (1, 1, 0, 50), (0, 1, 1, 500), (0, 1, 0, 50))
    check = judge(no_negatives, policy("average_odds_difference", low=-1, high=1)).checks[0]
    assert check.outcome is Outcome.FAILED


def test_nobody_selected_gives_no_disparate_impact():
    nobody = rows(*((group, truth, 0, 50) for group in (0, 1) for truth in (0, 1)))
    check = judge(nobody, policy("disparate_impact", low=0.0, high=9.0)).checks[0]
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
    evidence = fairness.judge(linear_target(weight), samples, policy(favorable="yes"))
    assert evidence.figures["accuracy"] == 1.0
    for unknown in ("maybe", 1):  # a number is a name as well, and no index
        with pytest.raises(PolicyError, match=f"got the favorable class '{unknown}'"):
            fairness.judge(linear_target(weight), samples, policy(favorable=unknown))


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
    found = of_detector([claims], samples, np.array([1]))
    assert found.truth.tolist() == [True, False, False]
    assert found.predicted.tolist() == [True, False, True]  # the claim of class a is not sure


def test_an_unknown_attribute_names_the_known_ones():
    with pytest.raises(
        ValueError, match="got the protected attribute 'lighting', expected one of none"
    ):
        fairness.judge(linear_target(np.ones(3)), linear_samples(np.ones(3)), policy())


SEXES, RACES = np.array(["f", "m"]), np.array(["x", "y", "z"])


def two_attributes(count=6000, seed=0):
    """Samples of a model that is fair by sex and by race, and unfair to women of race x alone."""
    generator = np.random.default_rng(seed)
    sex, race = generator.integers(2, size=count), generator.integers(3, size=count)
    inputs = generator.uniform(0.3, 0.7, size=(count, 3)).astype(np.float32)
    labels = (inputs.sum(axis=1) > 1.5).astype(np.int64)
    unlucky = (sex == 0) & (race == 0) & (generator.random(count) < 0.4)
    inputs[unlucky] = 0.4
    return Samples(
        inputs=inputs,
        classes=["no", "yes"],
        labels=labels,
        groups={"sex": SEXES[sex], "race": RACES[race]},
    )


def test_an_intersection_that_fares_worst_is_refused_by_name():
    asked = Fairness(
        checks=[required(GAP, low=-0.3, high=0.3)],
        protected=[
            Protected(name="sex", privileged=["m"]),
            Protected(name="race", privileged=["y", "z"]),
        ],
        favorable="yes",
    )
    evidence = fairness.judge(
        linear_target(np.ones(3)), two_attributes(), asked, Setting(features=("a", "b", "c"))
    )
    outcomes = {check.name: check.outcome for check in evidence.checks}
    assert outcomes[f"{GAP}[sex]"] is Outcome.PASSED
    assert outcomes[f"{GAP}[race]"] is Outcome.PASSED
    assert outcomes[f"{GAP}[sex=f, race=x]"] is Outcome.FAILED
    assert any(f"{GAP} is worst for sex=f, race=x" in note for note in evidence.notes)
    assert 0 < evidence.figures["consistency"] < 1
    assert any("underprediction is worst for: " in note for note in evidence.notes)
    sizes = {row[0]: row[1] for row in evidence.tables[0].rows}
    assert sum(sizes.values()) == 6000
    assert set(sizes) == {f"sex={s}, race={r}" for s in SEXES for r in RACES}


def test_an_intersection_that_nobody_is_in_fails():
    samples = two_attributes(count=900)
    absent = (samples.groups["sex"] == "f") & (samples.groups["race"] == "z")
    asked = Fairness(
        checks=[required(GAP, low=-1, high=1)],
        protected=[
            Protected(name="sex", privileged=["m"]),
            Protected(name="race", privileged=["y"]),
        ],
        favorable="yes",
    )
    evidence = fairness.judge(
        linear_target(np.ones(3)), samples.take(np.flatnonzero(~absent)), asked
    )
    (check,) = [one for one in evidence.checks if one.name == f"{GAP}[sex=f, race=z]"]
    assert check.outcome is Outcome.FAILED
    assert "there are no samples" in check.reason
    assert evidence.figures["smallest_group"] == 0


def test_a_privileged_value_that_the_data_do_not_have_is_a_wrong_policy():
    samples = two_attributes(count=300)
    asked = policy(favorable="yes", protected=[Protected(name="race", privileged=["w"])])
    with pytest.raises(PolicyError, match="got the privileged value of race 'w', expected one of"):
        fairness.judge(linear_target(np.ones(3)), samples, asked)


def test_a_privileged_value_that_is_declared_and_does_not_occur_never_passes():
    samples = two_attributes(count=300)
    asked = policy(favorable="yes", protected=[Protected(name="race", privileged=["w"])])
    declared = Setting(groups={"race": ("w", "x", "y", "z")})
    evidence = fairness.judge(linear_target(np.ones(3)), samples, asked, declared)
    assert evidence.outcome is not Outcome.PASSED


def test_without_a_favorable_class_each_of_three_has_its_turn():
    generator = np.random.default_rng(2)
    labels = generator.integers(3, size=900)
    inputs = np.eye(3, dtype=np.float32)[labels]
    night = np.arange(900) % 2 == 1
    inputs[night & (labels == 2)] = np.eye(3, dtype=np.float32)[1]
    samples = Samples(
        inputs=inputs,
        classes=["a", "b", "c"],
        labels=labels,
        groups={"lighting": np.where(night, "night", "day")},
    )
    module = torch.nn.Identity()
    evidence = fairness.judge(
        Target(module=module, predict=module, low=0, high=1), samples, policy()
    )
    outcomes = {check.name: check.outcome for check in evidence.checks}
    assert outcomes[f"{GAP}[a]"] is Outcome.PASSED
    assert outcomes[f"{GAP}[c]"] is Outcome.FAILED
    assert evidence.figures[GAP] == -1
    assert f"{GAP} is worst for c: -1.000" in evidence.notes


@pytest.mark.parametrize(
    ("protected", "said"),
    [
        ([], "expected at least one"),
        ([Protected(name="age", privileged=["old"])], "got the protected attribute 'age'"),
    ],
)
def test_a_grouping_needs_attributes_that_the_samples_have(protected, said):
    with pytest.raises(ValueError, match=said):
        grouping({"sex": SEXES}, protected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"truth": np.zeros(3, bool)}, "got 3 truth for 2 rows"), ({"scores": [0.5, np.nan]}, "NaN")],
)
def test_rows_that_do_not_fit_are_refused(changes, said):
    columns = {
        "group": np.zeros(2, int),
        "truth": np.zeros(2, bool),
        "predicted": np.zeros(2, bool),
        "unit": np.arange(2),
    }
    with pytest.raises(ValueError, match=said):
        Rows(**columns | {name: np.asarray(value) for name, value in changes.items()})


def test_what_is_judged_is_what_is_served_not_the_network_alone():
    samples = two_attributes(count=400)
    plain = linear_target(np.ones(3))
    served = replace(plain, serve=lambda inputs, groups: np.tile([0.9, 0.1], (len(inputs), 1)))
    asked = policy(favorable="yes", protected=[Protected(name="sex", privileged=["m"])])
    assert fairness.judge(plain, samples, asked).figures["selection_rate"] > 0.3
    assert fairness.judge(served, samples, asked).figures["selection_rate"] == 0


def test_what_a_repair_moves_is_measured():
    samples = two_attributes(count=400)
    plain = linear_target(np.ones(3))
    moved = replace(plain, repair=lambda inputs, groups: inputs + np.float32(0.1))
    asked = policy(
        "average_manhattan_distance",
        high=0.5,
        low=0,
        favorable="yes",
        protected=[Protected(name="sex", privileged=["m"])],
    )
    (check,) = fairness.judge(moved, samples, asked).checks
    assert check.measured == pytest.approx(0.3, abs=1e-6)
    assert check.outcome is Outcome.PASSED
    with pytest.raises(ValueError, match="got the metric 'average_manhattan_distance'"):
        fairness.judge(plain, samples, asked)
