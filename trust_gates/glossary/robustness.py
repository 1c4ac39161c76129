"""The robustness gate's figures."""

import math

from trust_gates.metric import Metric, share

QUESTION = "How much does it still get right when someone attacks its inputs?"


def _distance(name: str, meaning: str) -> Metric:
    """A metric from 0 on, the larger the better."""
    return Metric(name=name, meaning=meaning, low=0, high=math.inf)


METRICS = (
    share("robust_accuracy", "share still right after the worst of all attacks"),
    share("robust_recall", "share of objects still found after the worst of all attacks"),
    share("robust_map50", "mean average precision after the worst of all attacks"),
    share("robust_map50_95", "the same, averaged over IoU 0.5 to 0.95"),
    share(
        "evasion_auc", "chance that the evasion detector ranks an attacked input above a clean one"
    ),
    share("evasion_recall", "share of successful attacks that the evasion detector flags"),
    share(
        "evasion_adaptive_recall",
        "share that it still flags, or that fail, when the attacker knows the detector",
    ),
    share("evasion_false_positive_rate", "share of clean inputs that the detector flags", ideal=0),
    share("clean", "share right without an attack", ideal=None),
    share("noise", "share right under random noise of the attack's size", ideal=None),
    share("corruption_accuracy", "share still right under common corruptions, over all kinds"),
    share("worst_corruption_accuracy", "share still right under the worst kind of corruption"),
    share(
        "confidence_reduction", "fall of the right class's probability where it survives", ideal=0
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
    Metric(
        name="loss_sensitivity",
        meaning="mean l2 norm of the loss's gradient to the input",
        ideal=0,
        low=0,
        high=math.inf,
    ),
)
