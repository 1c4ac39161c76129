"""What every attack is: a name, what it needs, and how to run it within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples

Norm = Literal["linf", "l2"]
Kind = Literal["white", "black"]
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an attack may do to an input, and how hard it tries."""

    norm: Norm
    epsilon: float
    steps: int = 20
    """Gradient steps of PGD."""

    queries: int = 60
    """Iterations of Square, each asking the model about every surviving sample."""

    @property
    def art_norm(self) -> float:
        """ART's name of the norm."""
        return np.inf if self.norm == "linf" else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack by name. A new attack is a new `Attack` in the table of `attacks`."""

    name: str
    kind: Kind
    """White-box attacks follow gradients; black-box ones only ask for answers."""

    generate: Callable[[Victim, Samples, Budget], Any]
    """The attacked inputs, shaped as the samples' inputs.

    Raises:
        ValueError: it does not work on such inputs.
    """
