"""Remedies for unfair models: which there are, what they are told, and where they take hold.

Importing this costs nothing: touchstone.yaml is checked against it.

    preprocessing    changes the training data, or how much each row of it weighs
    inprocessing     changes the loss
    postprocessing   changes answers, by a rule fitted on the validation split

Each method is a module of the folder of its stage; see `method` for what it offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from touchstone.training.methods import Chosen, Method
from trust_gates.named import Name

_CONSTRAINTS = ("demographic_parity", "equalized_odds")


METHODS: dict[str, Method] = {
    "reweighing": Method(
        "preprocessing", "Kamiran and Calders, Data preprocessing techniques, KAIS 2012"
    ),
    "disparate_impact_remover": Method(
        "preprocessing",
        "Feldman et al., Certifying and removing disparate impact, KDD 2015",
        {"repair_level": 1.0},
    ),
    "optimized_preprocessing": Method(
        "preprocessing",
        "Calmon et al., Optimized pre-processing for discrimination prevention, NeurIPS 2017",
        {"epsilon": 0.05, "distortion": 0.5, "features": 2, "bins": 3},
    ),
    "learning_fair_representations": Method(
        "preprocessing",
        "Zemel et al., Learning fair representations, ICML 2013",
        {
            "prototypes": 10,
            "reconstruction": 1.0,
            "prediction": 1.0,
            "parity": 50.0,
            "steps": 400,
        },
    ),
    "prejudice_remover": Method(
        "inprocessing",
        "Kamishima et al., Fairness-aware classifier with prejudice remover regularizer, 2012",
        {"eta": 5.0},
    ),
    "adversarial_debiasing": Method(
        "inprocessing",
        "Zhang, Lemoine and Mitchell, Mitigating unwanted biases with adversarial learning, 2018",
        {"alpha": 0.1, "adversary_steps": 3, "constraint": _CONSTRAINTS[0]},
        {"constraint": _CONSTRAINTS},
    ),
    "exponentiated_gradient": Method(
        "inprocessing",
        "Agarwal et al., A reductions approach to fair classification, ICML 2018",
        {"epsilon": 0.02, "bound": 2.0, "rate": 0.1, "constraint": _CONSTRAINTS[0]},
        {"constraint": _CONSTRAINTS},
    ),
    "equalized_odds": Method(
        "postprocessing",
        "Hardt, Price and Srebro, Equality of opportunity in supervised learning, NeurIPS 2016",
    ),
    "calibrated_equalized_odds": Method(
        "postprocessing",
        "Pleiss et al., On fairness and calibration, NeurIPS 2017",
        {"cost": "weighted"},
        {"cost": ("weighted", "fnr", "fpr")},
    ),
    "reject_option": Method(
        "postprocessing",
        "Kamiran, Karim and Zhang, Decision theory for discrimination-aware classification, 2012",
        {"bound": 0.05, "figure": "statistical_parity_difference"},
        {
            "figure": (
                "statistical_parity_difference",
                "equal_opportunity_difference",
                "average_odds_difference",
            )
        },
    ),
}

OF_NUMBERS = frozenset(
    {"disparate_impact_remover", "optimized_preprocessing", "learning_fair_representations"}
)
"""Those that change inputs, or measure how far apart they are."""


class Mitigation(Chosen):
    """A remedy for an unfair model, applied while it is trained (docs/reference/fairness.md)."""

    KNOWN: ClassVar[Mapping[str, Method]] = METHODS

    protected: Name | None = None
    """The attribute; in touchstone.yaml by default that of spec.gates.fairness, as are the next."""

    privileged: tuple[Name, ...] = ()
    favorable: Name | None = None
    """The favorable class."""

    compare: bool = True
    """Train once more without the method, to report the figures before it."""
