"""The quality gate's figures."""

from trust_gates.metric import share

QUESTION = "Does it do its task on samples it has never seen?"

METRICS = (
    share("accuracy", "share of decisions that are right"),
    share("balanced_accuracy", "accuracy, each label counted equally"),
    share("map50", "mean average precision at IoU 0.5"),
    share("recall", "share of true objects that were found"),
)
