"""What the fairness gate is asked: whom to compare, and how equal they must be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from trust_gates.fairness.metrics import ALSO, METRICS
from trust_gates.policy import Check, GatePolicy, Strict, measured
from trust_gates.statistics import MINIMUM_SAMPLES


class Protected(Strict):
    """A protected attribute; all values that are not privileged are unprivileged."""

    name: str
    privileged: tuple[str, ...] = Field(min_length=1)


class Fairness(GatePolicy):
    """Whom to compare, and how equal they must be."""

    protected: str | tuple[Protected, ...]
    """One attribute, with `privileged` beside it; or a list of `{name, privileged}`."""

    privileged: tuple[str, ...] = ()
    """The privileged values of the one attribute; all others are unprivileged."""

    favorable: str | int | tuple[str, ...] | None = None
    """A classifier's favorable class by name or index, or several by name; without one each of
    three classes or more is judged against the rest. A detection is favorable when found."""

    minimum_group: int = Field(default=MINIMUM_SAMPLES, ge=1)
    """Of a group fewer rows (samples or objects) that a figure rests on are too few to judge."""

    alpha: float = 2.0
    """Of the generalized entropy indices: how much the worst off weigh."""

    checks: tuple[Annotated[Check, measured("fairness", (*METRICS, *ALSO))], ...] = Field(
        min_length=1
    )
    """What must hold, in every comparison of groups."""

    @model_validator(mode="after")
    def _whole(self) -> Fairness:
        if isinstance(self.protected, str) != bool(self.privileged):
            raise ValueError(
                "`protected: name` with its `privileged: [values]`, or a list of "
                "{name, privileged} without"
            )
        names = [attribute.name for attribute in self.attributes]
        if not names or len(set(names)) < len(names):
            raise ValueError("at least one protected attribute, each once")
        return self

    @property
    def attributes(self) -> tuple[Protected, ...]:
        """The protected attributes, however they are written."""
        if isinstance(self.protected, str):
            return (Protected(name=self.protected, privileged=self.privileged),)
        return self.protected
