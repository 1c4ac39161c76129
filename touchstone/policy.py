"""The gates' part of touchstone.yaml: what is judged, and what must hold."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from trust_gates import glossary


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )


def _fraction(value: Any) -> Any:
    """`8/255` as a number: budgets of images are written in steps of one grey level."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(\d+)", value)):
        if int(match[2]) == 0:
            raise ValueError("a fraction with a denominator other than 0")
        return float(match[1]) / int(match[2])
    return value


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("a range [low, high] with low <= high")
    return value


Fraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$")]


class Check(Strict):
    """One requirement: a metric and exactly one of `atLeast`, `atMost`, `within`."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    within: Annotated[tuple[float, float], AfterValidator(_ordered)] | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Check:
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.within)) != 1:
            raise ValueError("exactly one of atLeast, atMost, within")
        metric = glossary.METRICS.get(self.metric)
        for bound in (self.at_least, self.at_most, *(self.within or ())):
            if metric and bound is not None and not metric.low <= bound <= metric.high:
                raise ValueError(
                    f"a threshold for {self.metric} in [{metric.low:g}, {metric.high:g}]"
                )
        return self


class Quality(Strict):
    checks: tuple[Check, ...] = Field(min_length=1)


class Robustness(Strict):
    norm: Literal["linf", "l2"] = "linf"
    epsilon: Fraction
    """The attack's budget in input units; inputs of images are in [0, 1]."""
    attacks: tuple[Literal["fgsm", "pgd", "square"], ...] = ("fgsm", "pgd", "square")
    samples: int = Field(default=128, ge=1)
    sweep: tuple[Fraction, ...] = ()
    """Further budgets for the picture of accuracy against epsilon."""
    checks: tuple[Check, ...] = Field(min_length=1)


class Fairness(Strict):
    protected: str
    privileged: tuple[str, ...] = Field(min_length=1)
    favorable: str | int | None = None
    """The favourable label of a classifier; detections are favourable when found."""
    minimum_group: int = Field(default=30, ge=1)
    checks: tuple[Check, ...] = Field(min_length=1)


class Poisoning(Strict):
    """A search for backdoors in a classifier's training data, by detectors tried on one of ours."""

    detectors: tuple[
        Literal[
            "activation_clustering", "spectral_signatures", "hidden_trigger", "trigger_inversion"
        ],
        ...,
    ] = Field(
        default=("activation_clustering", "spectral_signatures", "hidden_trigger"), min_length=1
    )
    samples: int = Field(default=1200, ge=50, le=5000)
    """Most training samples that are examined: time and memory grow with their square."""
    recall: float = Field(default=0.7, gt=0, lt=1)
    """Share of a planted backdoor that must be found, by the lower confidence bound."""


class Integrity(Strict):
    """Counts of what is wrong are always required to be zero; this is what can be chosen."""

    checks: tuple[Check, ...] = ()
    """Bounds for near_duplicate_rate, single_feature_accuracy and label_noise."""
    poisoning: Poisoning | None = None
    pinned: bool = False
    """Refuse base images without a digest and packages without a version; else they are noted."""

    @model_validator(mode="after")
    def _measured(self) -> Integrity:
        known = glossary.integrity.CHECKED
        if any(check.metric not in known for check in self.checks):
            raise ValueError(f"checks of {', '.join(sorted(known))}")
        return self


class Gates(Strict):
    quality: Quality
    robustness: Robustness | None = None
    fairness: Fairness | None = None
    integrity: Integrity = Integrity()
    confidence: float = Field(default=0.95, gt=0.5, lt=1)

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of the gates that must have judged the model before it can be promoted."""
        gates = {"robustness": self.robustness, "fairness": self.fairness}
        optional = [name for name, gate in gates.items() if gate is not None]
        return ("quality", *optional, "integrity")
