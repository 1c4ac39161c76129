"""The robustness gate's figures."""

from trust_gates.metric import Metric, count, only, share

QUESTION = "How much does it still get right when someone attacks its inputs?"

_DEFEND = "Train with a defence (spec.train.defences, such as adversarial_training)."
_DETECTOR = (
    "Train the evasion detector longer, on more samples, or on the epsilon that is attacked here."
)
_AUGMENT = "Train on augmented images, of the kinds that the table of corruptions shows as worst."


def _distance(name: str, meaning: str) -> Metric:
    """A metric from 0 on, the larger the better."""
    return count(name, meaning, _DEFEND, ideal=None)


METRICS = (
    *only(
        "classification",
        share("robust_accuracy", "share still right after the worst of all attacks", _DEFEND),
    ),
    *only(
        "detection",
        share(
            "robust_recall", "share of objects still found after the worst of all attacks", _DEFEND
        ),
        share("robust_map50", "mean average precision after the worst of all attacks", _DEFEND),
        share("robust_map50_95", "the same, averaged over IoU 0.5 to 0.95", _DEFEND),
    ),
    *only(
        "regression",
        share(
            "robust_within_tolerance",
            "share still within the tolerance after the worst of all attacks",
            _DEFEND,
        ),
        count(
            "robust_mean_absolute_error",
            "mean of the largest error that attacks find for each sample, in the target's units",
            _DEFEND,
        ),
    ),
    share(
        "evasion_auc",
        "chance that the evasion detector ranks an attacked input above a clean one",
        _DETECTOR,
    ),
    share(
        "evasion_recall", "share of successful attacks that the evasion detector flags", _DETECTOR
    ),
    share(
        "evasion_adaptive_recall",
        "share that it still flags, or that fail, when the attacker knows the detector",
        "Do not rely on the detector against an attacker who knows it: train with a defence.",
    ),
    share(
        "evasion_false_positive_rate",
        "share of clean inputs that the detector flags",
        "Lower spec.train.evasionDetector.falsePositiveRate.",
        ideal=0,
    ),
    share("clean", "share right without an attack", ideal=None),
    share("noise", "share right under random noise of the attack's size", ideal=None),
    share(
        "corruption_accuracy",
        "share still right under common corruptions, over all kinds",
        _AUGMENT,
    ),
    share(
        "worst_corruption_accuracy",
        "share still right under the worst kind of corruption",
        _AUGMENT,
    ),
    share(
        "confidence_reduction",
        "fall of the right class's probability where it survives",
        _DEFEND,
        ideal=0,
    ),
    _distance(
        "minimal_perturbation",
        "median distance to the nearest wrong input known, in the gate's norm",
    ),
    _distance(
        "empirical_robustness", "mean distance to the nearest wrong input, over the input's norm"
    ),
    _distance("clever_untargeted", "distance within which probably no attack succeeds (CLEVER)"),
    _distance("clever_targeted", "the same towards the least likely class"),
    count("loss_sensitivity", "mean l2 norm of the loss's gradient to the input", _DEFEND),
    count(
        "gradient_masking",
        "signs that the model hides its gradients, so that it only looks robust",
        "Let gradients through: return logits from `predict`, without rounding or saturation.",
    ),
)
