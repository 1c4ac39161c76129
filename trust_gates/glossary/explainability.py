"""The explainability gate's figures."""

from trust_gates.metric import Metric, share

QUESTION = "Does it decide for reasons that can be shown, and for the right ones?"


def _gain(name: str, meaning: str, *, ideal: float | None = 1) -> Metric:
    return Metric(name=name, meaning=meaning, ideal=ideal, low=-1, high=1)


METRICS = (
    _gain(
        "faithfulness",
        "how much better the attribution ranks an input's parts than chance does; mean of the two "
        "gains, 0 as good as chance",
    ),
    _gain(
        "deletion_gain",
        "how much faster certainty falls when the parts ranked first are taken out than at random",
    ),
    _gain(
        "insertion_gain",
        "how much faster certainty rises when the parts ranked first are put in than at random",
    ),
    _gain("stability", "rank correlation of attributions before and after noise that hardly shows"),
    share(
        "protected_share",
        "share of the attribution on protected attributes and their proxies",
        ideal=0,
    ),
    share("attribution_inside", "share of the attribution for an object that lies inside its box"),
    share("pointing_game", "share of objects whose most relevant pixel lies inside their box"),
    share("object_area", "share of the image that the objects' boxes cover", ideal=None),
    _gain(
        "random_weights_similarity",
        "rank correlation of attributions with those of the same model with random weights",
        ideal=0,
    ),
)
