"""Detectors of adversarial inputs, trained with the model and served beside it: what to train.

Importing this costs nothing: touchstone.yaml is checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass

from touchstone.training.methods import Method

DETECTORS = {
    "evasion_inputs": Method(
        "inputs", "Gong, Wang and Ku, Adversarial and clean data are not twins, 2017"
    ),
    "evasion_activations": Method(
        "activations", "Metzen et al., On detecting adversarial perturbations, ICLR 2017"
    ),
}
"""By name; their stage is what they look at."""

ON = tuple(method.stage for method in DETECTORS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Evasion:
    """Which detector to train, on which attacks."""

    on: str = "activations"
    """What it looks at: the raw `inputs`, or the network's `activations`."""

    norm: str = "linf"
    epsilon: float = 8 / 255
    """Of the attacks it learns from: PGD on the training split."""

    steps: int = 10
    epochs: int = 20
    samples: int = 2048
    """Training samples attacked, at most."""

    false_positive_rate: float = 0.05
    """The share of clean inputs that may be flagged; the validation split sets the threshold."""

    def __post_init__(self) -> None:
        if self.on not in ON or self.norm not in ("linf", "l2"):
            raise ValueError(
                f"got on={self.on!r} norm={self.norm!r}, expected on one of {', '.join(ON)} and "
                "norm linf or l2"
            )
        if min(self.epsilon, self.steps, self.epochs, self.samples) <= 0:
            raise ValueError(
                f"got epsilon={self.epsilon} steps={self.steps} epochs={self.epochs} "
                f"samples={self.samples}, expected all above 0"
            )
        if not 0 < self.false_positive_rate < 1:
            raise ValueError(
                f"got a false positive rate of {self.false_positive_rate}, expected one in (0, 1)"
            )
