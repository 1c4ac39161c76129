"""The explainability gate's figures."""

from trust_gates.metric import Metric, only, share

QUESTION = "Does it decide for reasons that can be shown, and for the right ones?"

_OTHER_METHOD = (
    "Try another spec.gates.explainability.method; where none is faithful, a simpler model may be."
)
_LOOK = (
    "Look at the maps for what it goes by instead, such as a background that tells the class, and "
    "add training data without it."
)


def _gain(name: str, meaning: str, advice: str = "", *, ideal: float | None = 1) -> Metric:
    return Metric(name=name, meaning=meaning, ideal=ideal, low=-1, high=1, advice=advice)


METRICS = (
    _gain(
        "faithfulness",
        "how much better the attribution ranks an input's parts than chance does; mean of the two "
        "gains, 0 as good as chance",
        _OTHER_METHOD,
    ),
    _gain(
        "deletion_gain",
        "how much faster certainty falls when the parts ranked first are taken out than at random",
        _OTHER_METHOD,
    ),
    _gain(
        "insertion_gain",
        "how much faster certainty rises when the parts ranked first are put in than at random",
        _OTHER_METHOD,
    ),
    _gain(
        "stability",
        "rank correlation of attributions before and after noise that hardly shows",
        "Make the model smoother, by weight decay or a defence; or try another method.",
    ),
    share(
        "protected_share",
        "share of the attribution on protected attributes and their proxies",
        "Leave out the features that the table marks as proxies, or train with a mitigation.",
        ideal=0,
    ),
    *only(
        "detection",
        share(
            "attribution_inside",
            "share of the attribution for an object that lies inside its box",
            _LOOK,
        ),
        share(
            "pointing_game",
            "share of objects whose most relevant pixel lies inside their box",
            _LOOK,
        ),
    ),
    share("object_area", "share of the image that the objects' boxes cover", ideal=None),
    _gain(
        "random_weights_similarity",
        "rank correlation of attributions with those of the same model with random weights, or "
        "with its features exchanged where it has none",
        ideal=0,
    ),
)
