"""What the robustness gate is asked: attacks, their budget, and what must survive them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from trust_gates.named import Known, Name, unknown
from trust_gates.policy import Check, Fraction, GatePolicy, Path, Range, measured
from trust_gates.reach import Reach
from trust_gates.robustness import attacks, figures
from trust_gates.robustness.budget import Budget, Norm
from trust_gates.robustness.metrics import METRICS
from trust_gates.target import Target
from trust_gates.verdict import Required

MASKING = "gradient_masking"

_ATTACKS = {"items": {"type": "string", "enum": [*attacks.ATTACKS, *attacks.ENSEMBLES]}}
_FIGURES = {"items": {"type": "string", "enum": list(figures.FIGURES)}}
"""Every name in the JSON Schema: an editor can then offer them."""


class Robustness(GatePolicy):
    """What the gate attacks with, and what must survive."""

    norm: Norm = "linf"
    """How a change of an input is measured."""

    epsilon: Fraction
    """The attack's budget in input units, inputs of images being in [0, 1]; under l0 the number
    of values that may change. `8/255` is a number, too."""

    tolerance: Fraction | None = None
    """How far a regression's number may be from the truth, in the units of its targets: further is
    wrong."""

    attacks: Annotated[tuple[str, ...], Field(json_schema_extra=_ATTACKS)] = (
        "fgsm",
        "pgd",
        "square",
    )
    """Names of attacks and of ensembles, a white-box and a black-box one at least."""

    samples: int = Field(default=128, ge=1)
    """At most so many are attacked."""

    sequential: bool = True
    """Stop as soon as the samples seen decide every check of a classifier or a regression; else
    attack them all."""

    steps: int | None = Field(default=None, ge=1)
    """Effort of every iterated attack, instead of each one's own or that of an ensemble."""

    queries: int | None = Field(default=None, ge=1)
    """Effort of every black-box attack, likewise."""

    immutable: tuple[Name, ...] = ()
    """Features that no attacker can change, besides those that the dataset declares."""

    bounds: dict[Name, Range] = Field(default_factory=dict)
    """Lowest and highest value that an attacker can give a feature."""

    figures: Annotated[tuple[str, ...], Field(json_schema_extra=_FIGURES)] = ()
    """Further figures to measure, besides those that checks name."""

    sweep: tuple[Fraction, ...] = ()
    """Further budgets for the picture of accuracy against epsilon; by default a quarter to four
    times epsilon."""

    checks: tuple[Annotated[Check, measured("robustness", METRICS)], ...] = Field(min_length=1)
    """What must hold."""

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        attacks.chosen(names, info.data.get("norm", "linf"))
        return names

    @field_validator("figures")
    @classmethod
    def _measured(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        figures.chosen(names, info.data.get("norm", "linf"))
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

    @property
    def always(self) -> dict[str, Required]:
        """No sign may say that the attacks were only misled."""
        return {MASKING: Required(high=0)}

    @property
    def names(self) -> list[str]:
        """The attacks in the order they run."""
        return attacks.chosen(self.attacks, self.norm)

    @property
    def wanted(self) -> list[str]:
        """The further figures that the policy asks for, and those that its checks name."""
        required = [check.metric for check in self.checks if check.metric in figures.FIGURES]
        return [*required, *self.figures]

    def budget(self, seed: int) -> Budget:
        """What each attack may spend."""
        ensembles = [attacks.ENSEMBLES[n] for n in self.attacks if n in attacks.ENSEMBLES]
        return Budget(
            norm=self.norm,
            epsilon=self.epsilon,
            steps=self.steps or max((e.steps for e in ensembles), default=None),
            queries=self.queries or max((e.queries for e in ensembles), default=None),
            seed=seed,
        )

    def misnamed(self, known: Known) -> Iterator[tuple[Path, str]]:
        """Features that the data do not have; and where none is left to an attacker. A tolerance
        where there are no numbers, or none where there are."""
        if known.task == "regression" and self.tolerance is None:
            yield (
                ("tolerance",),
                "got no tolerance, expected how far a number may be from the truth before it is "
                "wrong, in the units of the targets",
            )
        if known.task != "regression" and self.tolerance is not None:
            yield (
                ("tolerance",),
                f"got a tolerance for a model of {known.task}, expected none: it is of numbers",
            )
        for name, wanted in (("immutable", self.immutable), ("bounds", self.bounds)):
            kind = "the immutable feature" if name == "immutable" else "the bounded feature"
            yield from (((name,), one) for one in unknown(kind, wanted, known.features))
        if known.features and set(known.features) <= set(self.immutable):
            yield (
                ("immutable",),
                "got every feature as immutable, expected one that an attacker can change",
            )

    def limit(self, target: Target, features: Sequence[str]) -> Target:
        """The target with the policy's limits on an attacker within those of the dataset.

        Args:
            features: names of an input row's values.

        Raises:
            ValueError: a limit is on no feature, or nothing is left to change.
        """
        if not self.immutable and not self.bounds:
            return target
        own = Reach.of_features(
            features,
            low=target.low,
            high=target.high,
            immutable=self.immutable,
            bounds=self.bounds,
        )
        return replace(target, reach=own.within(target.reach))
