"""The quality gate's figures."""

import math

from trust_gates.metric import Metric, difference, share

QUESTION = "Does it do its task on samples it has never seen?"

METRICS = (
    share("accuracy", "share of decisions that are right"),
    share("balanced_accuracy", "accuracy, each label counted equally"),
    share("f1_macro", "harmonic mean of precision and recall, each label counted equally"),
    share("auc", "chance that a sample of a class scores above one that is not, mean of classes"),
    Metric(
        name="log_loss",
        meaning="mean surprise at the true label, in nats",
        ideal=0,
        low=0,
        high=math.inf,
    ),
    Metric(
        name="brier",
        meaning="mean squared distance of the probabilities from the truth, summed over classes",
        ideal=0,
        low=0,
        high=2,
    ),
    share("ece", "expected gap between how sure it is and how often it is right", ideal=0),
    share("map50", "mean average precision at IoU 0.5"),
    share("map50_95", "mean average precision over IoU 0.5 to 0.95"),
    share("recall", "share of true objects that were found"),
    share("worst_slice_accuracy", "accuracy in the group or class where it is lowest"),
    share("worst_slice_recall", "recall in the group or class where it is lowest"),
    difference(
        "gain_over_champion", "accuracy or map50, less the served version's on these samples"
    ),
    share("champion_accuracy", "accuracy of the served version on these samples", ideal=None),
    share("champion_map50", "map50 of the served version on these samples", ideal=None),
    share(
        "mcnemar_p",
        "chance of so uneven a split of the samples that only one of the two versions gets right, "
        "if both are equally good",
        ideal=None,
    ),
    share("constant_prediction", "whether it answers the same whatever it is shown", ideal=0),
    Metric(
        name="non_finite_outputs",
        meaning="samples on which it answers with something that is no number",
        ideal=0,
        low=0,
        high=math.inf,
    ),
)
