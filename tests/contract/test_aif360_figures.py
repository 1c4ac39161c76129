"""The fast path is AIF360: figures from counts equal its own on whole frames, on any decisions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from aif360.datasets import BinaryLabelDataset
from aif360.metrics import BinaryLabelDatasetMetric, ClassificationMetric, SampleDistortionMetric

from trust_gates.fairness import counts, distortion, figures, individual
from trust_gates.fairness import metrics as glossary
from trust_gates.fairness.rows import Rows

LOW, HIGH = [0, 1], [2, 3]
QUALITY = {"accuracy", "balanced_accuracy"}
COLUMNS = ("group", "truth", "predicted", "unit", "scores", "features")


def decisions(seed, count=4000):
    """Rows in four groups, none of whose sixteen cells is empty."""
    generator = np.random.default_rng(seed)
    cell = generator.choice(16, size=count, p=generator.dirichlet(np.ones(16)))
    cell = np.concatenate([np.arange(16), cell])
    return Rows(
        group=cell // 4,
        truth=cell // 2 % 2 == 1,
        predicted=cell % 2 == 1,
        unit=np.arange(len(cell)),
        scores=generator.random(len(cell)),
        features=generator.random((len(cell), 3)),
    )


def dataset(rows, labels):
    frame = pd.DataFrame(rows.features, columns=["a", "b", "c"])
    frame["group"], frame["label"] = rows.group.astype(float), labels.astype(float)
    return BinaryLabelDataset(
        df=frame,
        label_names=["label"],
        protected_attribute_names=["group"],
        favorable_label=1.0,
        unfavorable_label=0.0,
    )


def whole_frame(rows):
    """AIF360's metric of every row, not of counts."""
    truth = dataset(rows, rows.truth)
    # Its product over all groups takes privileged values and the others from here.
    truth.privileged_protected_attributes = [np.array(HIGH, float)]
    truth.unprivileged_protected_attributes = [np.array(LOW, float)]
    predicted = truth.copy(deepcopy=True)
    predicted.labels = rows.predicted.astype(float).reshape(-1, 1)
    predicted.scores = rows.scores.reshape(-1, 1)
    return ClassificationMetric(
        truth,
        predicted,
        unprivileged_groups=[{"group": float(g)} for g in LOW],
        privileged_groups=[{"group": float(g)} for g in HIGH],
    )


def asked(metric, name):
    """AIF360's figure of our name."""
    of_rate = {**figures.DIFFERENCES, "label_disparate_impact": "base_rate"}
    if hasattr(metric, name):
        return getattr(metric, name)()
    if name.endswith("_difference"):
        return metric.difference(getattr(metric, of_rate[name]))
    return metric.ratio(getattr(metric, of_rate[name]))


@pytest.mark.parametrize("seed", range(4))
def test_every_group_figure_equals_that_of_aif360_on_the_whole_frame(seed):
    rows = decisions(seed)
    metric = whole_frame(rows)
    columns = counts.collapse(rows, 4).observed()
    pair = figures.pair(*(columns[:, side].sum(axis=1) for side in (LOW, HIGH)), alpha=2)
    whole = figures.whole(columns, alpha=2)
    individual_names = {"consistency", "label_consistency"}
    assert set(pair) == {one.name for one in glossary.PAIRS}
    named = (*glossary.RATES, *glossary.INDIVIDUAL, *glossary.INTERSECTIONS)
    assert set(whole) == {one.name for one in named} - individual_names | QUALITY
    for name, value in {**pair, **whole}.items():
        if name != "balanced_accuracy":  # not AIF360's
            assert value[0] == pytest.approx(asked(metric, name), abs=1e-9), name


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_of_few_rows_with_empty_cells_every_figure_that_we_have_is_that_of_aif360(seed):
    some = np.random.default_rng(seed).choice(4016, size=14, replace=False)
    rows = decisions(seed)
    few = Rows(**{name: getattr(rows, name)[some] for name in COLUMNS})
    columns = counts.collapse(few, 4).observed()
    assert (columns[0, :, : counts.CELLS] == 0).any()
    sides = [columns[:, side].sum(axis=1) for side in (LOW, HIGH)]
    ours = figures.pair(*sides, alpha=2) | figures.whole(columns, alpha=2)
    known = {name: value[0] for name, value in ours.items() if not np.isnan(value[0])}
    assert len(known) > 20
    metric = whole_frame(few)
    for name in known.keys() - {"balanced_accuracy"}:
        assert known[name] == pytest.approx(asked(metric, name), abs=1e-9), name


@pytest.mark.parametrize("alpha", [0.5, 1, 3])
def test_the_entropy_index_equals_that_of_aif360_at_any_alpha_but_0(alpha):
    rows = decisions(1)
    ours = figures.whole(counts.collapse(rows, 4).observed(), alpha=alpha)
    theirs = whole_frame(rows)
    assert ours["generalized_entropy_index"][0] == pytest.approx(
        theirs.generalized_entropy_index(alpha), abs=1e-9
    )
    assert ours["between_all_groups_generalized_entropy_index"][0] == pytest.approx(
        theirs.between_all_groups_generalized_entropy_index(alpha), abs=1e-9
    )


def test_consistency_equals_that_of_aif360_where_no_distances_tie():
    rows = decisions(2, count=3000)
    data = dataset(rows, rows.truth)
    ours = individual.consistency(data.features, rows.truth).mean()
    assert ours == pytest.approx(BinaryLabelDatasetMetric(data).consistency()[0], abs=1e-9)


def test_distances_of_a_repair_equal_those_of_aif360():
    rows = decisions(3, count=2000)
    before = dataset(rows, rows.truth)
    after = before.copy(deepcopy=True)
    after.features = before.features + np.random.default_rng(0).normal(size=before.features.shape)
    metric = SampleDistortionMetric(
        before, after, unprivileged_groups=[{"group": 0.0}], privileged_groups=[{"group": 1.0}]
    )
    ours = distortion.distances(before.features, after.features)
    for kind, distance in ours.items():
        assert distance.mean() == pytest.approx(getattr(metric, f"average_{kind}_distance")())
        assert distance.sum() == pytest.approx(getattr(metric, f"total_{kind}_distance")())
        assert distance.max() == pytest.approx(getattr(metric, f"maximum_{kind}_distance")())


# What is broken upstream. A failure here means that AIF360 mended it: it can be held to ours again.


def test_upstream_divides_the_index_of_alpha_0_by_the_mean_once_more_than_its_definition():
    rows = decisions(5)
    everybody_gains = rows.truth & ~rows.predicted
    some = Rows(**{name: getattr(rows, name)[~everybody_gains] for name in COLUMNS})
    benefit = 1.0 + some.predicted - some.truth
    ours = figures.whole(counts.collapse(some, 4).observed(), alpha=0)["generalized_entropy_index"]
    assert ours[0] == pytest.approx(-np.log(benefit / benefit.mean()).mean(), abs=1e-9)
    theirs = whole_frame(some).generalized_entropy_index(0)
    assert theirs == pytest.approx(ours[0] / benefit.mean(), abs=1e-9)


def test_upstream_says_0_of_a_rate_that_has_nobody():
    rows = decisions(7)
    rejected = replace(rows, predicted=np.zeros(len(rows), bool))
    assert whole_frame(rejected).false_discovery_rate() == 0
    found = figures.rates(counts.collapse(rejected, 4).observed()[0])
    assert np.isnan(found["false_discovery_rate"]).all()


def test_upstream_cannot_compare_distances_between_groups():
    rows = decisions(6, count=100)
    data = dataset(rows, rows.truth)
    groups = {"unprivileged_groups": [{"group": 0.0}], "privileged_groups": [{"group": 1.0}]}
    metric = SampleDistortionMetric(data, data.copy(), **groups)
    for name in ("mean_euclidean_distance_difference", "mean_euclidean_distance_ratio"):
        with pytest.raises(TypeError, match="not callable"):
            getattr(metric, name)()
