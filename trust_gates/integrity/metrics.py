"""The integrity gate's figures, and what it counts."""

from trust_gates.metric import Metric, count, only, share

QUESTION = "Did anyone tamper with its files, its data or its labels?"

_WEIGHTS_ONLY = "Keep the weights as safetensors alone, and take these files out of the model."
_ANEW = "Train again; where it comes back, find out who could write to the artifact store."
_KNOWN_BEFORE = (
    "Ask whether that feature is known before the label is: where it is not, leave it out."
)
_POISON = (
    "Have people look at the samples that were flagged; take out what is planted, and find out who "
    "delivered it."
)

CHECKED = (
    share(
        "near_duplicate_rate",
        "share of test samples nearly equal to one that was learned from",
        "Take near duplicates out before the split, or keep them together in one split.",
        ideal=0,
    ),
    *only(
        "classification",
        share(
            "single_feature_accuracy",
            "balanced accuracy of the one input feature that predicts the label best",
            _KNOWN_BEFORE,
            ideal=None,
        ),
        share(
            "label_noise",
            "share of training labels that look wrong (confident learning)",
            "Have people look at the labels again, those that the model is surest against first.",
            ideal=0,
        ),
    ),
    *only(
        "regression",
        Metric(
            name="single_feature_r2",
            meaning="r2 of the one input feature that predicts the target best",
            high=1,
            advice=_KNOWN_BEFORE,
        ),
    ),
    count(
        "leaked_test_samples",
        "test samples that were learned from; of rows that coincide by chance, those beyond it",
        "Take the samples that are named out of one of the splits.",
    ),
)
"""Those that a policy can set a bound for; the rest must be zero, or say how well it looked."""

METRICS = (
    *CHECKED,
    count("pickle_files", "files of the model that run code when they are loaded", _WEIGHTS_ONLY),
    count("executable_files", "files of the model that a computer could run", _WEIGHTS_ONLY),
    count(
        "irregular_files",
        "links, pipes, sockets and devices in the model and its repository",
        "Put the file itself in the place of a link, and take the others out.",
    ),
    count("digest_mismatches", "files with other bytes than an earlier stage named", _ANEW),
    count(
        "weight_files",
        "files of weights that name what they hold: safetensors, or an estimator in skops' format",
        "Write the weights with safetensors, or an estimator with skops.",
        ideal=None,
    ),
    count(
        "bad_weights",
        "tensors that are malformed or hold values that are no number",
        "Train with a lower learning rate, and see whether the loss stays finite.",
    ),
    count(
        "schema_violations",
        "values of the data that do not fit their description",
        "Mend the values that are named, or the description that `load_data` gives of them.",
    ),
    count(
        "empty_groups",
        "classes and groups that a split has no sample of",
        "Collect samples of them, merge them with others, or do not declare them.",
    ),
    count(
        "unpinned_dependencies",
        "base images without a digest and packages without an exact version",
        "Name images by digest and packages by exact version.",
    ),
    count("poisoned_samples", "training samples that look like the door of a backdoor", _POISON),
    count(
        "trigger_classes", "classes that a conspicuously small mark sends everything to", _POISON
    ),
    share(
        "planted_success",
        "share of other samples that planted marks turn into their class, of the least kind",
        ideal=None,
    ),
    share(
        "planted_recall",
        "share of the planted poison that the detectors found",
        "Deliver more training samples; where this kind of mark cannot be found in such data, have "
        "people look at the data, and take the kind out of `marks`.",
    ),
    share(
        "planted_false_positive_rate",
        "share of the other samples that they flagged beside the planted poison",
        "Leave out the detector that flags most without cause.",
        ideal=0,
    ),
    count(
        "trigger_anomaly_index",
        "how much smaller the smallest trigger of a class is than the others'",
    ),
    count("planted_anomaly_index", "the same for the planted backdoor's class", ideal=None),
)
