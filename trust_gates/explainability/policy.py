"""What the explainability gate is asked: how to explain decisions, and what must be true of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from trust_gates.explainability.features import Protection
from trust_gates.explainability.methods import METHODS
from trust_gates.explainability.metrics import METRICS
from trust_gates.named import Known, Name, unknown
from trust_gates.policy import Check, GatePolicy, OneOf, Path, measured


class Explainability(GatePolicy):
    """How decisions are explained, and what must be true of the explanations."""

    method: Annotated[str, OneOf(METHODS)] = "integrated_gradients"
    """How a decision is attributed to its inputs."""

    samples: int = Field(default=64, ge=1)
    """At most so many decisions are explained."""

    protected: tuple[Name, ...] = ()
    """Attributes that decisions must not rest on; by default all that the dataset declares."""

    proxy: float = Field(default=0.5, gt=0, le=1)
    """From this association with a protected attribute on, a feature counts as its proxy."""

    checks: tuple[Annotated[Check, measured("explainability", METRICS)], ...] = Field(min_length=1)
    """What must hold."""

    def misnamed(self, known: Known) -> Iterator[tuple[Path, str]]:
        """Protected attributes that the data do not have."""
        for problem in unknown("the protected attribute", self.protected, sorted(known.groups)):
            yield ("protected",), problem

    def protection(self, seed: int) -> Protection:
        """What decisions must not rest on."""
        return Protection(attributes=self.protected, proxy=self.proxy, seed=seed)
