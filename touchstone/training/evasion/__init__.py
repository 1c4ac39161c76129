"""Detectors of adversarial inputs, trained with the model and served beside it: what to train.

Importing this costs nothing: touchstone.yaml is checked against it.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from touchstone.training.methods import Method, Norm
from trust_gates.policy import Fraction, Strict

On = Literal["inputs", "activations"]
ON: tuple[On, ...] = get_args(On)

DETECTORS = {
    "evasion_inputs": Method(
        "inputs", "Gong, Wang and Ku, Adversarial and clean data are not twins, 2017"
    ),
    "evasion_activations": Method(
        "activations", "Metzen et al., On detecting adversarial perturbations, ICLR 2017"
    ),
}
"""By name; their stage is what they look at."""


class Evasion(Strict):
    """Which detector to train with the model, on which attacks, to be served beside it."""

    on: On = "activations"
    """What it looks at: the raw `inputs`, or the network's `activations`."""

    norm: Norm = "linf"
    epsilon: Fraction = 8 / 255
    """Of the attacks it learns from, PGD on the training split; in touchstone.yaml norm and
    epsilon are by default those of spec.gates.robustness."""

    steps: int = Field(default=10, ge=1, le=1000)
    epochs: int = Field(default=20, ge=1)
    samples: int = Field(default=2048, ge=1)
    """Training samples that are attacked, at most."""

    false_positive_rate: float = Field(default=0.05, gt=0, lt=1)
    """The share of clean inputs that may be flagged; the validation split sets the threshold."""
