"""Individual, subgroup, regression and distortion figures, against answers known beforehand."""

import numpy as np
import pytest
from gate_models import required

from trust_gates import fairness
from trust_gates.fairness import (
    counts,
    distortion,
    figures,
    hidden,
    individual,
    regression,
    subgroups,
)
from trust_gates.fairness import metrics as glossary
from trust_gates.fairness.groups import grouping
from trust_gates.fairness.policy import Fairness, Protected
from trust_gates.fairness.rows import Rows
from trust_gates.verdict import Outcome

LOW, HIGH = [0], [1]


def brute_consistency(features, decided, neighbors):
    """The definition, in words: the last place is shared by all at its distance."""
    found = []
    for row, own in zip(features, decided, strict=True):
        distance = np.sqrt(((features - row) ** 2).sum(axis=1))
        last = np.sort(distance)[neighbors - 1]
        inside, border = distance < last, distance == last
        mean = decided[inside].sum() + (neighbors - inside.sum()) * decided[border].mean()
        found.append(1 - abs(own - mean / neighbors))
    return np.array(found)


@pytest.mark.parametrize("levels", [2, 3, 6])
def test_consistency_shares_tied_places_evenly_however_rows_are_ordered(levels):
    generator = np.random.default_rng(levels)
    features = generator.integers(levels, size=(300, 2)).astype(float)
    decided = generator.random(300) < 0.4
    found = individual.consistency(features, decided)
    assert found == pytest.approx(brute_consistency(features, decided, 5), abs=1e-12)
    order = generator.permutation(300)
    again = individual.consistency(features[order], decided[order])
    assert again == pytest.approx(found[order], abs=1e-12)


def test_consistency_of_some_rows_is_that_of_all_at_these_rows():
    generator = np.random.default_rng(0)
    features, decided = generator.random((400, 3)), generator.random(400) < 0.5
    some = np.array([7, 3, 300])
    whole = individual.consistency(features, decided)
    assert individual.consistency(features, decided, of=some) == pytest.approx(whole[some])


@pytest.mark.parametrize(
    ("features", "decided"), [(np.zeros((4, 2)), np.zeros(4)), (np.zeros(9), np.zeros(9))]
)
def test_consistency_without_neighbors_is_refused(features, decided):
    with pytest.raises(ValueError, match="n at least 5"):
        individual.consistency(features, decided.astype(bool))


def test_images_have_no_consistency_and_the_reason_is_given():
    found = individual.measure(None, np.zeros(9, bool), seed=0)
    assert np.isnan(found.value)
    assert "named features" in found.missing


def test_intervals_hold_the_true_value_as_often_as_they_say():
    """Of 200 simulated audits, about 95 % of the 95 % intervals hold the truth."""
    generator = np.random.default_rng(1)
    share = np.array([0.15, 0.1, 0.05, 0.2, 0.1, 0.1, 0.05, 0.25])
    columns = np.concatenate([share.reshape(2, 4), np.zeros((2, 2))], axis=1)[None]
    truth = figures.pair(columns[:, 0], columns[:, 1], alpha=2)
    names = ("statistical_parity_difference", "equal_opportunity_difference", "disparate_impact")
    held = dict.fromkeys(names, 0)
    for seed in range(200):
        cell = generator.choice(8, size=600, p=share)
        table = Rows(
            group=cell // 4,
            truth=cell // 2 % 2 == 1,
            predicted=cell % 2 == 1,
            unit=np.arange(600),
        )
        drawn = counts.collapse(table, 2).resampled(seed, 500)
        found = figures.pair(drawn[:, 0], drawn[:, 1], alpha=2)
        for name in names:
            low, high = np.quantile(found[name], [0.025, 0.975])
            held[name] += low <= truth[name][0] <= high
    assert all(0.90 <= count / 200 <= 0.99 for count in held.values()), held


def people(count=12_000, seed=0):
    generator = np.random.default_rng(seed)
    attributes = {
        "sex": generator.choice(["f", "m"], count),
        "region": generator.choice(["north", "south", "west"], count),
        "age": subgroups.bands(generator.random(count)),
    }
    return attributes, generator.random(count), generator


def test_a_subgroup_that_nobody_named_is_found_and_measured_on_other_rows():
    attributes, scores, generator = people()
    wronged = (attributes["sex"] == "f") & (attributes["region"] == "west")
    truth = generator.random(len(scores)) < np.where(wronged, scores * 0.4, scores)
    found = subgroups.scan(attributes, truth, scores, over=True, seed=1)
    assert dict(found.values) == {"sex": ["f"], "region": ["west"]}
    assert str(found) in (
        "sex f and region west",
        "region west and sex f",
    )
    assert found.gap.value == pytest.approx(0.3, abs=0.05)
    assert found.gap.interval(0.95).low > 0.2


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("favorable", [False, True])
def test_a_scan_takes_labels_that_are_all_the_same(favorable, over):
    attributes, scores, _ = people()
    found = subgroups.scan(attributes, np.full(len(scores), favorable), scores, over=over, seed=1)
    assert (found.gap.value > 0) == (over is not favorable)


def test_where_nothing_is_wrong_the_worst_subgroup_shows_no_gap():
    """In sample its gap would be the largest of many; on other rows it is noise around 0."""
    attributes, scores, generator = people(seed=3)
    truth = generator.random(len(scores)) < scores
    for over in (True, False):
        interval = subgroups.scan(attributes, truth, scores, over=over, seed=2).gap.interval(0.999)
        assert interval.low <= 0 <= interval.high


def test_bands_are_values_where_they_are_few_and_quantiles_else():
    assert set(subgroups.bands(np.array([0.0, 1.0, 1.0]))) == {"0", "1"}
    words = subgroups.bands(np.arange(100.0))
    assert sorted(np.unique(words, return_counts=True)[1]) == [25, 25, 25, 25]


def test_a_scan_needs_attributes():
    with pytest.raises(ValueError, match="at least one"):
        subgroups.scan({}, np.zeros(9, bool), np.zeros(9), over=True, seed=0)


def test_figures_of_a_regression_are_those_worked_out_by_hand():
    privileged = np.array([False] * 4 + [True] * 4)
    truth = np.array([1.0, 2, 3, 4, 1, 2, 3, 4])
    predicted = np.array([3.0, 4, 5, 6, 2, 3, 4, 5])
    found = regression.measures(truth, predicted, privileged, seed=0)
    assert set(found) == {metric.name for metric in glossary.REGRESSION}
    assert found["mean_prediction_difference"].value == 1
    assert found["mean_residual_difference"].value == 1
    assert found["mean_squared_error_ratio"].value == 4
    assert found["prediction_distribution_distance"].value == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("predicted", "said"),
    [(np.array([1.0, np.nan]), "NaN or infinite"), (np.array([1.0]), "1 predictions")],
)
def test_a_regression_that_does_not_fit_is_refused(predicted, said):
    with pytest.raises(ValueError, match=said):
        regression.measures(np.zeros(2), predicted, np.array([True, False]), seed=0)


def test_a_regression_is_judged_group_by_group():
    generator = np.random.default_rng(0)
    sex = generator.choice(["f", "m"], 4000)
    truth = generator.normal(size=4000)
    predicted = truth + 0.5 * (sex == "m") + 0.1 * generator.normal(size=4000)
    protected = [Protected(name="sex", privileged=["m"])]
    policy = Fairness(
        checks=[
            required("mean_residual_difference", low=-0.1, high=0.1),
            required("mean_squared_error_ratio", low=0.001, high=2),
        ],
        protected=protected,
    )
    groups = grouping({"sex": sex}, protected)
    evidence = fairness.judge_numbers(truth, predicted, groups, policy)
    assert [check.outcome for check in evidence.checks] == [Outcome.FAILED, Outcome.PASSED]
    assert evidence.checks[0].measured == pytest.approx(-0.5, abs=0.02)


def test_distances_of_one_group_alone_have_no_difference():
    before = np.random.default_rng(0).random((40, 3))
    found = distortion.measures(before, before + 0.1, np.ones(40, bool), seed=0)
    assert set(found) == {metric.name for metric in glossary.DISTORTION}
    assert found["average_manhattan_distance"].value == pytest.approx(0.3)
    assert found["mean_euclidean_distance_difference"].missing


def test_a_feature_that_never_varies_does_not_break_the_mahalanobis_distance():
    before = np.column_stack([np.random.default_rng(0).random(20), np.ones(20)])
    assert np.isfinite(distortion.distances(before, before[::-1])["mahalanobis"]).all()


def test_rows_that_do_not_pair_up_have_no_distance():
    with pytest.raises(ValueError, match="expected both"):
        distortion.distances(np.zeros((3, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("alpha", [0, -1])
def test_an_infinite_entropy_is_not_a_number(alpha):
    """Somebody without any benefit makes the index infinite there: it must not pass."""
    found = figures.entropy(np.array([[0.0, 1.0]]), np.array([[1.0, 9.0]]), alpha)
    assert np.isnan(found[0])


def test_a_mean_of_gaps_is_the_mean_of_those_that_are_said_to_cancel_in_it():
    counted = np.random.default_rng(0).integers(1, 50, size=(2, 40, 6)).astype(float)
    found = figures.pair(*counted, alpha=2.0)
    assert set(hidden.MEANS) == set(figures.MEANS)
    for name, mean in hidden.MEANS.items():
        first, second = (s * found[gap] for s, gap in zip(mean.signs, mean.gaps, strict=True))
        assert (first + second) / 2 == pytest.approx(found[name], abs=1e-12)
