"""The integrity gate's figures; its counts of what is wrong speak for themselves."""

from trust_gates.metric import Metric, share

QUESTION = "Did anyone tamper with its files, its data or its labels?"

METRICS = (
    share(
        "near_duplicate_rate",
        "share of test samples nearly equal to one that was learned from",
        ideal=0,
    ),
    share(
        "single_feature_accuracy",
        "balanced accuracy of the one input feature that predicts the label best",
        ideal=None,
    ),
    share("label_noise", "share of training labels that look wrong (confident learning)", ideal=0),
    share(
        "planted_success",
        "share of planted samples that the model learned to class as the backdoor says",
        ideal=None,
    ),
    share("planted_recall", "share of the planted poison that the detectors found"),
    share(
        "planted_false_positive_rate",
        "share of the other samples that they flagged beside the planted poison",
        ideal=0,
    ),
    Metric(
        name="trigger_anomaly_index",
        meaning="how much smaller the smallest trigger of a class is than the others'",
        ideal=0,
        low=0,
    ),
    Metric(
        name="planted_anomaly_index", meaning="the same for the planted backdoor's class", low=0
    ),
)

CHECKED = frozenset({"near_duplicate_rate", "single_feature_accuracy", "label_noise"})
"""Those that touchstone.yaml can set a bound for; the rest say how well the gate looked."""
