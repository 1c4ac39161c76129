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
    assert check.samples == 29
    assert check.samples_needed == math.ceil(30 / 29 * len(small))
    assert "29 samples cannot tell, about 1.1 times these data would decide" in check.reason


@pytest.mark.parametrize(
    "groups",
    [
        [(1, 1, 1, 50), (1, 0, 0, 50)],
        [(0, 1, 1, 50), (0, 0, 0, 50)],
        [(1, 1, 1, 50), (0, 0, 0, 50)],
        [(1, 0, 0, 50), (0, 1, 1, 50)],
    ],
)
def test_an_absent_group_is_insufficient_evidence(groups):
    check = judge(rows(*groups), policy(low=-1, high=1)).checks[0]
    assert check.outcome is Outcome.INSUFFICIENT
    assert math.isnan(check.measured)
    assert "could not be measured: there are no" in check.reason


def test_a_figure_that_rests_on_no_rows_of_a_group_is_insufficient_evidence():
    no_negatives = rows((1, 1, 1, 500), (1, 1, 0, 50), (0, 1, 1, 500), (0, 1, 0, 50))
    check = judge(no_negatives, policy("average_odds_difference", low=-1, high=1)).checks[0]
    assert check.outcome is Outcome.INSUFFICIENT
    assert "no rows that it rests on" in check.reason


@pytest.mark.parametrize(
    ("metric", "groups", "resting"),
    [
        ("false_positive_rate_difference", [(0, 1, 1, 200), (0, 0, 0, 8)], 8),
        ("false_discovery_rate_difference", [(0, 1, 1, 5), (0, 1, 0, 95), (0, 0, 0, 105)], 5),
        ("false_omission_rate_difference", [(0, 1, 1, 200), (0, 0, 0, 9)], 9),
        ("equal_opportunity_difference", [(0, 1, 1, 2), (0, 0, 0, 3)], 2),
        ("average_odds_difference", [(0, 1, 1, 500), (0, 0, 0, 7)], 7),
        ("average_predictive_value_difference", [(0, 1, 1, 500), (0, 0, 0, 7)], 7),
        ("statistical_parity_difference", [(0, 1, 1, 2), (0, 0, 0, 3)], 5),
        ("between_group_theil_index", [(0, 1, 1, 2), (0, 0, 0, 3)], 5),
    ],
)
def test_the_minimum_counts_the_rows_that_a_figure_rests_on(metric, groups, resting):
    high = 0.9 if metric != "between_group_theil_index" else 9
    check = judge(
        rows((1, 1, 1, 500), (1, 0, 0, 500), *groups),
        policy(metric, low=-high, high=high)
        if metric != "between_group_theil_index"
        else policy(metric, low=0, high=high),
    ).checks[0]
    assert check.samples == resting
    assert check.outcome is Outcome.INSUFFICIENT


def test_an_inequality_of_nothing_lies_within_its_interval():
    perfect = rows(*((group, truth, truth, 100) for group in (0, 1) for truth in (0, 1)))
    check = judge(perfect, policy("theil_index", low=0, high=0.1)).checks[0]
    assert check.outcome is Outcome.PASSED
    assert check.measured == check.interval.low == 0
    assert check.interval.high > 0


def test_a_small_group_does_not_fail_either_however_badly_it_fares():
    few = rows((1, 1, 1, 500), (1, 0, 0, 500), (0, 1, 0, 12), (0, 0, 0, 12))
    check = judge(few, policy()).checks[0]
    assert check.measured == -1
    assert check.interval.high < -0.1
    assert check.outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize("metric", ["statistical_parity_difference", "mean_difference"])
@pytest.mark.parametrize(("favorable", "expected"), [(20, 0), (0, -1 / 150)])
def test_parity_of_decisions_needs_no_favorable_labels(metric, favorable, expected):
    """As AIF360: few of the unprivileged, or none, have a favorable label."""
    decided = rows(
        *[(0, 1, 1, favorable)] * bool(favorable),
        (0, 0, 0, 3000 - favorable),
        (1, 1, 1, 20),
        (1, 0, 0, 2980),
    )
    check = judge(decided, policy(metric)).checks[0]
    assert check.outcome is Outcome.PASSED
    assert check.measured == pytest.approx(expected)
    assert check.samples == 3000


def test_nobody_selected_gives_no_disparate_impact():
    nobody = rows(*((group, truth, 0, 50) for group in (0, 1) for truth in (0, 1)))
    check = judge(nobody, policy("disparate_impact", low=0.5, high=9.0)).checks[0]
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


def test_an_intersection_that_nobody_is_in_is_insufficient_evidence():
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
    assert check.outcome is Outcome.INSUFFICIENT
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
    check, _ = fairness.judge(moved, samples, asked).checks
    assert check.measured == pytest.approx(0.3, abs=1e-6)
    assert check.outcome is Outcome.PASSED
    with pytest.raises(ValueError, match="got the metric 'average_manhattan_distance'"):
        fairness.judge(plain, samples, asked)


def test_decisions_known_to_be_unfair_are_tried_and_noted():
    evidence = judge(even(1000), policy())
    (note,) = [note for note in evidence.notes if "refused, as it must be: " in note]
    assert "favorable outcomes for the privileged alone" in note


@pytest.mark.parametrize(
    ("metric", "bounds"),
    [
        (GAP, {"low": -1.0, "high": 1.0}),
        ("statistical_parity_difference", {"low": -1.0, "high": 0.1}),
        ("disparate_impact", {"low": 0.0, "high": 1e9}),
        ("theil_index", {"low": 0.0, "high": 99.0}),
        ("label_statistical_parity_difference", {"low": -1.0, "high": 1.0}),
    ],
)
def test_a_policy_that_would_pass_the_worst_is_the_policys_fault(metric, bounds):
    with pytest.raises(PolicyError, match=r"gates\.fairness asks for nothing"):
        judge(even(400), policy(metric, **bounds))


@pytest.mark.parametrize(
    "metric",
    [
        one.name
        for one in glossary.PAIRS
        if one.fair and one.fair[0] < one.fair[1] and one.ideal == 0
    ],
)
def test_the_customary_range_of_every_gap_refuses_what_is_known_to_be_unfair(metric):
    scored = even(400)
    scored = replace(scored, scores=scored.predicted * 0.8 + 0.1)
    low, high = next(one.fair for one in glossary.PAIRS if one.name == metric)
    judge(scored, policy(metric, low=low, high=high))


def test_small_groups_do_not_make_a_policy_ask_for_nothing():
    few = rows((1, 1, 1, 5), (1, 0, 0, 5), (0, 1, 1, 3), (0, 0, 0, 3))
    assert judge(few, policy()).outcome is Outcome.INSUFFICIENT


def test_opposite_gaps_that_cancel_are_said():
    """Hits +0.2, false alarms -0.2: their mean is 0."""
    crossed = rows(
        (0, 1, 1, 900), (0, 1, 0, 100), (0, 0, 1, 100), (0, 0, 0, 900),
        (1, 1, 1, 700), (1, 1, 0, 300), (1, 0, 1, 300), (1, 0, 0, 700),
    )  # fmt: skip
    evidence = judge(crossed, policy("average_odds_difference"))
    assert evidence.checks[0].outcome is Outcome.PASSED
    (warning,) = evidence.warnings
    assert "average_odds_difference +0.000 is the mean of opposite gaps that cancel" in warning
    assert "false_positive_rate_difference -0.200" in warning
    assert "true_positive_rate_difference +0.200" in warning
    assert "require average_abs_odds_difference" in warning
    unasked = judge(crossed, policy())
    assert any("average_odds_difference +0.000 is the mean" in note for note in unasked.notes)
    assert unasked.warnings == []
    assert judge(even(1000), policy("average_odds_difference")).warnings == []
    assert judge(crossed, policy("average_abs_odds_difference", low=0)).outcome is Outcome.FAILED


def several(shares, each=1000):
    """Samples and a model that favors each race by its share."""
    races = np.repeat(list(shares), each)
    favored = np.concatenate([np.arange(each) < share * each for share in shares.values()])
    samples = Samples(
        inputs=favored[:, None].astype(np.float32),
        classes=["no", "yes"],
        labels=favored.astype(np.int64),
        groups={"race": races, "sex": np.where(np.arange(len(races)) % 2, "f", "m")},
    )
    module = torch.nn.Identity()
    target = Target(
        module=module, predict=lambda x: torch.cat([1 - x, x], dim=1), low=0.0, high=1.0
    )
    return target, samples


def test_a_group_that_others_make_up_for_is_named():
    target, samples = several({"w": 0.5, "x": 0.3, "y": 0.7})
    asked = policy(
        "statistical_parity_difference",
        favorable="yes",
        protected=[Protected(name="race", privileged=["w"])],
    )
    evidence = fairness.judge(target, samples, asked)
    assert evidence.checks[0].outcome is Outcome.PASSED
    assert evidence.checks[0].measured == pytest.approx(0)
    alone = [warning for warning in evidence.warnings if "alone it is" in warning]
    assert any("of x alone it is -0.200" in warning for warning in alone)
    assert any("of y alone it is 0.200" in warning for warning in alone)
    target, samples = several({"w": 0.5, "x": 0.49, "y": 0.51})
    assert not any("alone" in one for one in fairness.judge(target, samples, asked).warnings)


def test_a_declared_attribute_that_is_not_judged_is_named_with_its_figures():
    target, samples = several({"w": 0.6, "x": 0.1})
    asked = policy(
        "statistical_parity_difference",
        favorable="yes",
        protected=[Protected(name="sex", privileged=["m"])],
    )
    evidence = fairness.judge(target, samples, asked)
    assert "race is declared by the data and was not judged: w 1000, x 1000" in evidence.warnings
    (table,) = [one for one in evidence.tables if one.title == "Declared, but not judged"]
    assert table.rows == [
        ("race", "w", 1000, 0.6, pytest.approx(0.5)),
        ("race", "x", 1000, 0.1, pytest.approx(-0.5)),
    ]
    undeclared = replace(samples, declared=("sex",))
    assert fairness.judge(target, undeclared, asked).warnings == []


def test_the_evidence_says_what_was_asked():
    target, samples = several({"w": 0.6, "x": 0.1, "y": 0.2}, each=100)
    asked = policy(
        "statistical_parity_difference",
        favorable="yes",
        protected=[Protected(name="race", privileged=["w"])],
    )
    told = dict(fairness.judge(target, samples, asked).asked)
    assert told["favorable class"] == "yes"
    assert told["protected attribute race"] == (
        "privileged: w (100); compared with: x (100), y (100) (200 in all)"
    )
    assert told["samples"] == "300"
    assert told["confidence"] == "0.95 for all checks of this gate together"
