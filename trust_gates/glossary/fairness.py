"""The fairness gate's figures."""

import math

from trust_gates.metric import Metric, difference

QUESTION = "Are favorable outcomes shared evenly between the groups?"

METRICS = (
    difference(
        "statistical_parity_difference",
        "share selected, unprivileged less privileged",
        fair=(-0.1, 0.1),
    ),
    Metric(
        name="disparate_impact",
        meaning="share selected, unprivileged over privileged",
        ideal=1,
        low=0,
        high=math.inf,
        fair=(0.8, 1.25),
    ),
    difference(
        "equal_opportunity_difference",
        "share found of those who should be, unprivileged less privileged",
        fair=(-0.1, 0.1),
    ),
    difference(
        "average_odds_difference",
        "mean difference of false alarms and of hits, unprivileged less privileged",
        fair=(-0.1, 0.1),
    ),
    Metric(
        name="theil_index",
        meaning="inequality of benefit between individuals",
        ideal=0,
        low=0,
        high=math.inf,
    ),
    difference(
        "false_negative_rate_difference",
        "share missed of those who should be found, unprivileged less privileged",
        fair=(-0.1, 0.1),
    ),
)
