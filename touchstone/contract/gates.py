"""The gates' part of touchstone.yaml: what is judged, and what must hold."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
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


Fraction = Annotated[float, BeforeValidator(_fraction), Field(gt=0)]
Option = Annotated[int | float | str, BeforeValidator(_fraction)]
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


class Champion(Strict):
    """The version that is served now, which a new one must not fall behind."""

    margin: float = Field(default=0.02, ge=0, lt=1)
    """How much of accuracy, or of map50, a new version may lose."""


class Quality(Strict):
    checks: tuple[Check, ...] = Field(min_length=1)
    champion: Champion | None = None
    minimum_slice: int = Field(default=30, ge=1)
    """Groups with fewer samples are no slice of their own."""


def _attack_names(schema: dict[str, Any]) -> None:
    """Every name in the JSON Schema: an editor can then offer them."""
    from trust_gates.robustness import attacks

    schema["items"]["enum"] = [*attacks.ATTACKS, *attacks.ENSEMBLES]


def _figure_names(schema: dict[str, Any]) -> None:
    from trust_gates.robustness import figures

    schema["items"]["enum"] = list(figures.FIGURES)


class Robustness(Strict):
    norm: Literal["linf", "l2", "l1", "l0"] = "linf"
    epsilon: Fraction
    """The attack's budget in input units, inputs of images being in [0, 1]; under l0 the number
    of values that may change."""
    attacks: Annotated[tuple[str, ...], Field(json_schema_extra=_attack_names)] = (
        "fgsm",
        "pgd",
        "square",
    )
    """Names of attacks and of ensembles; docs/robustness.md lists them."""
    samples: int = Field(default=128, ge=1)
    """At most so many are attacked."""
    sequential: bool = True
    """Stop as soon as the samples seen decide; else attack all of them."""
    steps: int | None = Field(default=None, ge=1)
    queries: int | None = Field(default=None, ge=1)
    """Effort of every iterated and of every black-box attack, instead of each one's own."""
    immutable: tuple[str, ...] = ()
    """Features that no attacker can change, besides those that the dataset declares."""
    bounds: dict[str, Annotated[tuple[float, float], AfterValidator(_ordered)]] = Field(
        default_factory=dict
    )
    """Lowest and highest value that an attacker can give a feature."""
    figures: Annotated[tuple[str, ...], Field(json_schema_extra=_figure_names)] = ()
    """Further figures to measure, besides those that checks name."""
    sweep: tuple[Fraction, ...] = ()
    """Further budgets for the picture of accuracy against epsilon."""
    checks: tuple[Check, ...] = Field(min_length=1)

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        from trust_gates.robustness import attacks

        try:
            attacks.chosen(names, info.data.get("norm", "linf"))
        except ValueError as error:
            # The caller says what was got.
            raise ValueError(str(error).partition("expected ")[2]) from None
        return names

    @field_validator("figures")
    @classmethod
    def _measured(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        from trust_gates.robustness import figures

        try:
            figures.chosen(names, info.data.get("norm", "linf"))
        except ValueError as error:
            raise ValueError(str(error).partition("expected ")[2]) from None
        return names

    @field_validator("epsilon", "sweep")
    @classmethod
    def _small(cls, value: float | tuple[float, ...], info: ValidationInfo) -> Any:
        least = value if isinstance(value, float) else 1
        if info.data.get("norm") == "l0" and least < 1:
            raise ValueError("at least 1 under the norm l0: a number of values")
        largest = max(value, default=0) if isinstance(value, tuple) else value
        if info.data.get("norm") == "linf" and largest > 1:
            raise ValueError("less than or equal to 1 under the norm linf")
        return value


class Protected(Strict):
    """A protected attribute; all values that are not privileged are unprivileged."""

    name: str
    privileged: tuple[str, ...] = Field(min_length=1)


class Fairness(Strict):
    protected: str | tuple[Protected, ...]
    """One attribute, with `privileged` beside it; or several, each with its own."""
    privileged: tuple[str, ...] = ()
    favorable: str | int | tuple[str, ...] | None = None
    """The favourable label (or labels) of a classifier; without one each of three classes or more
    is judged against the rest. Detections are favourable when found."""
    minimum_group: int = Field(default=30, ge=1)
    alpha: float = 2.0
    """Of the generalized entropy indices: how much the worst off weigh."""
    checks: tuple[Check, ...] = Field(min_length=1)

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
        known = {metric.name for metric in glossary.fairness.METRICS} | _OF_QUALITY
        unknown = sorted({check.metric for check in self.checks} - known)
        if unknown:
            raise ValueError(f"metrics of docs/fairness.md, not {', '.join(unknown)}")
        return self

    @property
    def attributes(self) -> tuple[Protected, ...]:
        """The protected attributes, however they are written."""
        if isinstance(self.protected, str):
            return (Protected(name=self.protected, privileged=self.privileged),)
        return self.protected


_OF_QUALITY = frozenset({"accuracy", "balanced_accuracy"})
"""Figures of the quality gate that the fairness gate measures as well."""


class Explainability(Strict):
    method: Literal[
        "integrated_gradients", "saliency", "occlusion", "gradient_shap", "kernel_shap"
    ] = "integrated_gradients"
    samples: int = Field(default=64, ge=1)
    protected: tuple[str, ...] = ()
    """Attributes that decisions must not rest on; by default all of the dataset's."""
    proxy: float = Field(default=0.5, gt=0, le=1)
    """From this association with a protected attribute on, a feature counts as its proxy."""
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
    explainability: Explainability | None = None
    integrity: Integrity = Integrity()
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of a whole verdict: the chance that it lets a model pass that fails a check is the rest."""

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of the gates that must have judged the model before it can be promoted."""
        return (*self._measuring, "integrity")

    @property
    def confidence_each(self) -> float:
        """What each gate must decide at, so that `confidence` holds for all checks of a verdict.

        Bonferroni: the gates that estimate share the chance of error equally, and each applies
        Holm's step-down to its own checks (`trust_gates.statistics.decide`). The integrity gate
        counts, which leaves nothing to chance, and takes a share only where it is asked for more.
        """
        estimates = bool(self.integrity.checks) or self.integrity.poisoning is not None
        return 1 - (1 - self.confidence) / (len(self._measuring) + estimates)

    @property
    def _measuring(self) -> tuple[str, ...]:
        names = ("quality", "robustness", "fairness", "explainability")
        return tuple(name for name in names if getattr(self, name) is not None)
