"""The fairness gate's figures: AIF360's names, with what each means for a reviewer.

Every difference and ratio is of the unprivileged group against the privileged one. Fair ranges
are customs, not proofs: the four-fifths rule of the EEOC's Uniform Guidelines (29 CFR 1607.4 D)
for ratios, and AIF360's ±0.1 for differences.
"""

from __future__ import annotations

import math
from dataclasses import replace

from trust_gates.metric import DECIDING, Metric, difference, only, share
from trust_gates.quality.metrics import METRICS as QUALITY

QUESTION = "Are favorable outcomes shared evenly between the groups?"

_TENTH = (-0.1, 0.1)

_MITIGATE = (
    "Train with a mitigation (spec.train.mitigation), or add training data of the group that lost; "
    "the table of groups shows which."
)
_COLLECT = "Find out how the labels came about, and collect anew or reweigh: no model learned this."
_LEARN = "Train longer, or set another threshold for a decision; the table of groups shows where."
_WEIGH = (
    "Add training data of the group that lost, or weigh its samples up in `loss`; the table of "
    "groups shows which."
)
_MILDER = "Repair less (the options of spec.train.mitigation), or mitigate in training instead."


def _advised(advice: str, *metrics: Metric) -> tuple[Metric, ...]:
    """All of them, with the advice where they have none of their own."""
    return tuple(replace(metric, advice=metric.advice or advice) for metric in metrics)


def _gap(name: str, of: str, advice: str = "") -> Metric:
    return difference(name, f"{of}, unprivileged less privileged", advice, fair=_TENTH)


def _ratio(name: str, of: str, advice: str = "") -> Metric:
    ratio = _open(name, f"{of}, unprivileged over privileged", advice, ideal=1)
    return replace(ratio, fair=(0.8, 1.25))


def _open(name: str, meaning: str, advice: str = "", *, ideal: float = 0) -> Metric:
    return Metric(name=name, meaning=meaning, ideal=ideal, low=0, high=math.inf, advice=advice)


def _distance(name: str, meaning: str) -> Metric:
    return Metric(name=name, meaning=meaning, ideal=0, low=0, high=1, fair=(0, 0.1))


_FAVORABLE = "share favorable in the data itself"
_FOUND = "share found of those who should be"
_MISSED = "share missed of those who should be found"
_ALARM = "share wrongly favored of those who should not be"
_OMITTED = "share of the rejected who should have been favored"
_DISCOVERED = "share of the favored who should not have been"

PAIRS = _advised(
    _MITIGATE,
    _gap("statistical_parity_difference", "share favored"),
    _gap("mean_difference", "share favored"),
    _ratio("disparate_impact", "share favored"),
    _gap("label_statistical_parity_difference", _FAVORABLE, _COLLECT),
    _ratio("label_disparate_impact", _FAVORABLE, _COLLECT),
    _gap("equal_opportunity_difference", _FOUND),
    _gap("true_positive_rate_difference", _FOUND),
    _gap("false_positive_rate_difference", _ALARM),
    _gap("false_negative_rate_difference", _MISSED),
    _gap("false_omission_rate_difference", _OMITTED),
    _gap("false_discovery_rate_difference", _DISCOVERED),
    _gap("error_rate_difference", "share decided wrongly"),
    _gap("generalized_true_positive_rate_difference", "mean score of those who should be found"),
    _gap("generalized_false_positive_rate_difference", "mean score of those who should not be"),
    _ratio("false_positive_rate_ratio", _ALARM),
    _ratio("false_negative_rate_ratio", _MISSED),
    _ratio("false_omission_rate_ratio", _OMITTED),
    _ratio("false_discovery_rate_ratio", _DISCOVERED),
    _ratio("error_rate_ratio", "share decided wrongly"),
    _gap("average_odds_difference", "mean difference of false alarms and of hits"),
    _distance("average_abs_odds_difference", "mean distance of false alarms and of hits"),
    _gap(
        "average_predictive_value_difference",
        "mean difference of precision and of the share omitted among the rejected",
    ),
    _distance("equalized_odds_difference", "the larger distance, of false alarms or of hits"),
    _distance(
        "generalized_equalized_odds_difference",
        "the larger distance of mean scores, of those who should be found or of the others",
    ),
    _open(
        "between_group_generalized_entropy_index",
        "inequality of benefit between the two groups (alpha as declared)",
    ),
    _open("between_group_theil_index", "inequality of benefit between the two groups (alpha 1)"),
    _open(
        "between_group_coefficient_of_variation",
        "spread of benefit between the two groups, in units of its mean",
    ),
)
"""Compare one unprivileged group with one privileged group."""

RATES = _advised(
    _LEARN,
    share("true_positive_rate", _FOUND),
    share("true_negative_rate", "share rejected of those who should be"),
    share("false_positive_rate", _ALARM, ideal=0),
    share("false_negative_rate", _MISSED, ideal=0),
    share("positive_predictive_value", "share of the favored who should be"),
    share("negative_predictive_value", "share of the rejected who should be"),
    share("false_discovery_rate", _DISCOVERED, ideal=0),
    share("false_omission_rate", _OMITTED, ideal=0),
    share("error_rate", "share decided wrongly", ideal=0),
    Metric(name="power", meaning="number found of those who should be", low=0),
    share("selection_rate", "share favored", ideal=None),
    share("base_rate", _FAVORABLE, _COLLECT, ideal=None),
    share("generalized_true_positive_rate", "mean score of those who should be found"),
    share("generalized_true_negative_rate", "one less the mean score of those who should not be"),
    share("generalized_false_positive_rate", "mean score of those who should not be", ideal=0),
    share(
        "generalized_false_negative_rate", "one less the mean score of those who should be", ideal=0
    ),
)
"""Of all rows together; the report also shows them group by group."""

INDIVIDUAL = _advised(
    _MITIGATE,
    _open("generalized_entropy_index", "inequality of benefit between people (alpha as declared)"),
    _open("theil_index", "inequality of benefit between individuals"),
    _open("coefficient_of_variation", "spread of benefit between people, in units of its mean"),
    _open(
        "between_all_groups_generalized_entropy_index",
        "inequality of benefit between all groups and intersections (alpha as declared)",
    ),
    _open("between_all_groups_theil_index", "inequality of benefit between all intersections"),
    _open(
        "between_all_groups_coefficient_of_variation",
        "spread of benefit between all intersections, in units of its mean",
    ),
    share("consistency", "how alike the five nearest neighbors of each sample are decided"),
    share(
        "label_consistency",
        "how alike the five nearest neighbors of each sample are labelled",
        _COLLECT,
    ),
)

INTERSECTIONS = _advised(
    _MITIGATE,
    _open(
        "smoothed_empirical_differential_fairness",
        "largest log ratio of favorable labels between any two intersections (Foulds 2018)",
        _COLLECT,
    ),
    Metric(
        name="differential_fairness_bias_amplification",
        meaning="how much the decisions widen that log ratio beyond the labels'",
        ideal=0,
    ),
)

SUBGROUPS = _advised(
    _MITIGATE,
    difference(
        "bias_scan_overprediction",
        "mean score less favorable share in the subgroup that a bias scan finds worst (MDSS)",
        fair=_TENTH,
    ),
    difference(
        "bias_scan_underprediction",
        "favorable share less mean score in the subgroup that a bias scan finds worst (MDSS)",
        fair=_TENTH,
    ),
)
"""Found on one half of the rows, measured on the other."""

_KINDS = ("euclidean", "manhattan", "mahalanobis")
DISTORTION = _advised(
    _MILDER,
    *(
        metric
        for kind in _KINDS
        for metric in (
            _open(f"total_{kind}_distance", f"{kind} distance that a repair moves inputs, summed"),
            _open(f"average_{kind}_distance", f"{kind} distance that a repair moves an input"),
            _open(
                f"maximum_{kind}_distance", f"largest {kind} distance that a repair moves an input"
            ),
            Metric(
                name=f"mean_{kind}_distance_difference",
                meaning=f"mean {kind} distance that a repair moves an input, "
                "unprivileged less privileged",
                ideal=0,
            ),
            _ratio(
                f"mean_{kind}_distance_ratio", f"mean {kind} distance that a repair moves an input"
            ),
        )
    ),
)
"""What a preprocessing remedy costs: measured where the model repairs its inputs."""

REGRESSION = only(
    "regression",
    *_advised(
        _WEIGH,
        Metric(
            name="mean_prediction_difference",
            meaning="mean prediction, unprivileged less privileged",
            ideal=0,
        ),
        Metric(
            name="mean_residual_difference",
            meaning="mean of prediction less truth, unprivileged less privileged",
            ideal=0,
        ),
        Metric(
            name="mean_absolute_error_difference",
            meaning="mean absolute error, unprivileged less privileged",
            ideal=0,
        ),
        _ratio("mean_absolute_error_ratio", "mean absolute error"),
        _ratio("mean_squared_error_ratio", "mean squared error"),
        _distance(
            "prediction_distribution_distance",
            "largest gap between the groups' distributions of predictions (Kolmogorov-Smirnov)",
        ),
        _open(
            "infeasible_index",
            "places in the ranking by the number at which a group has fewer above than its share",
        ),
    ),
)

METRICS = (
    *only(DECIDING, *PAIRS, *RATES, *INDIVIDUAL, *INTERSECTIONS, *SUBGROUPS, *DISTORTION),
    *REGRESSION,
)

ALSO = only(DECIDING, *(one for one in QUALITY if one.name in ("accuracy", "balanced_accuracy")))
"""Figures of the quality gate that are measured here as well."""
