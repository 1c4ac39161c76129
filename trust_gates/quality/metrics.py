"""The quality gate's figures."""

import math

from trust_gates.metric import DECIDING, Metric, count, difference, only, share
from trust_gates.policy import COMPANY

QUESTION = "Does it do its task on samples it has never seen?"

_LEARN = "Train longer, tune more trials or add training data; the worst slices show where."
_BALANCE = "Add or weigh up samples of the labels that are rarely right; the slices name them."
_CALIBRATE = "Calibrate its scores, for instance by a temperature fitted on the validation split."
_SLICE = "Add training data of the group or class that the table of slices lists first."

_OF_CLASSIFIERS = only(
    "classification",
    share("accuracy", "share of decisions that are right", _LEARN),
    share("balanced_accuracy", "accuracy, each label counted equally", _BALANCE),
    share(
        "f1_macro", "harmonic mean of precision and recall, each label counted equally", _BALANCE
    ),
    share(
        "auc",
        "chance that a sample of a class scores above one that is not, mean of classes",
        _LEARN,
    ),
    count("log_loss", "mean surprise at the true label, in nats", _CALIBRATE),
    Metric(
        name="brier",
        meaning="mean squared distance of the probabilities from the truth, summed over classes",
        ideal=0,
        low=0,
        high=2,
        advice=_CALIBRATE,
    ),
    share("worst_slice_accuracy", "accuracy in the group or class where it is lowest", _SLICE),
)
_OF_DETECTORS = only(
    "detection",
    share("map50", "mean average precision at IoU 0.5", _LEARN),
    share("map50_95", "mean average precision over IoU 0.5 to 0.95", _LEARN),
    share("recall", "share of true objects that were found", _LEARN),
    share("worst_slice_recall", "recall in the group or class where it is lowest", _SLICE),
)


def _explained(name: str, meaning: str) -> Metric:
    return Metric(name=name, meaning=meaning, ideal=1, low=-math.inf, high=1, advice=_LEARN)


_OF_REGRESSIONS = only(
    "regression",
    _explained("r2", "share of the targets' variance that is predicted; 0 as good as their mean"),
    _explained("explained_variance", "the same, where a constant error counts for nothing"),
    count("mean_absolute_error", "mean distance from the truth, in the target's units", _LEARN),
    count(
        "root_mean_squared_error",
        "root of the mean squared distance from the truth, in the target's units",
        _LEARN,
    ),
    count("median_absolute_error", "median distance from the truth, in the target's units", _LEARN),
    count(
        "mean_absolute_percentage_error",
        "mean distance from the truth as a part of the truth; 1 is as much as the truth itself",
        _LEARN,
    ),
    count(
        "worst_slice_mean_absolute_error",
        "mean absolute error in the group or quarter of the targets where it is largest",
        "Add training data of the group, or of targets as the quarter has them, that the table of "
        "slices lists first.",
    ),
)
METRICS = (
    *_OF_CLASSIFIERS,
    *only(
        DECIDING,
        share(
            "ece",
            "expected gap between how sure it is and how often it is right",
            _CALIBRATE,
            ideal=0,
        ),
    ),
    *_OF_DETECTORS,
    *_OF_REGRESSIONS,
    difference(
        "gain_over_champion",
        "accuracy, map50 or r2, less the served version's on these samples",
        "Keep the served version, or find out what the new one lost on the same samples.",
    ),
    share("champion_accuracy", "accuracy of the served version on these samples", ideal=None),
    share("champion_map50", "map50 of the served version on these samples", ideal=None),
    Metric(name="champion_r2", meaning="r2 of the served version on these samples", high=1),
    share(
        "mcnemar_p",
        "chance of so uneven a split of the samples that only one of the two versions gets right, "
        "if both are equally good",
        ideal=None,
    ),
    share(
        "constant_prediction",
        "whether it answers the same whatever it is shown",
        "See whether its loss fell at all: too high a learning rate does this.",
        ideal=0,
    ),
    count(
        COMPANY,
        "samples that are answered otherwise alone, beside others, in another order or number, "
        "or asked again",
        "Let an answer rest on its own sample alone: BatchNorm with running statistics, `eval()`, "
        "no mean over the batch, nothing drawn by chance and nothing remembered.",
    ),
    count(
        "encoded_otherwise",
        "samples whose raw value the model encodes as other inputs than it was judged on",
        "Let `load_data` make its inputs with the same `encode`, each value by itself.",
    ),
    count(
        "non_finite_outputs",
        "samples on which it answers with something that is no number",
        "Look for a division by zero, a logarithm of zero or an overflow in `predict`.",
    ),
)
