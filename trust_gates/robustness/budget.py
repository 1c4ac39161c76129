"""What may an attacker do to an input?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Norm = Literal["linf", "l2", "l1", "l0"]
"""Under l0 epsilon is how many values may change, each as far as it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an attack may do to an input, and how hard it tries."""

    norm: Norm
    epsilon: float
    steps: int | None = None
    """Gradient steps of an iterated attack; None for the attack's own standard."""

    queries: int | None = None
    """Questions a black-box attack may ask about each sample; None for its own standard."""

    restarts: int = 1
    """Starts of an attack that begins at a random point."""

    seed: int = 0

    @property
    def art_norm(self) -> float:
        """The norm's order, as numpy and ART name it."""
        return {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[self.norm]
