"""How a model is trained: the `tune`, `train` and `remedy` parts of touchstone.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from touchstone.training import defences, evasion, mitigation
from trust_gates.fairness.policy import Fairness
from trust_gates.policy import Fraction, Option, Strict
from trust_gates.robustness.policy import Robustness


class Objective(Strict):
    metric: str
    goal: Literal["maximize", "minimize"] = "maximize"


class Parameter(Strict):
    """One dimension of the search space, in Katib's words."""

    name: str
    type: Literal["double", "int", "categorical", "discrete"]
    min: float | None = None
    max: float | None = None
    values: tuple[float | int | str, ...] = ()
    log: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Parameter:
        ranged = self.type in ("double", "int")
        if ranged and (self.min is None or self.max is None or not self.min < self.max):
            raise ValueError(f"min < max for the {self.type} parameter {self.name!r}")
        if not ranged and not self.values:
            raise ValueError(f"values for the {self.type} parameter {self.name!r}")
        if self.log and (not ranged or (self.min or 0) <= 0):
            raise ValueError(f"a positive range for the log parameter {self.name!r}")
        return self


class Tune(Strict):
    algorithm: Literal["random", "tpe", "multivariate-tpe", "grid", "cmaes", "sobol"] = "tpe"
    max_trials: int = Field(default=8, ge=1, le=1000)
    parallel_trials: int = Field(default=2, ge=1, le=64)
    epochs: int = Field(default=1, ge=1)
    """How long each trial trains; the final training has its own."""
    objective: Objective
    parameters: tuple[Parameter, ...] = Field(min_length=1)


class Mitigation(Strict):
    """A remedy for an unfair model, applied while it is trained (docs/fairness.md)."""

    method: str
    protected: str | None = None
    """The attribute; by default the first one of spec.gates.fairness, as are the next two."""
    privileged: tuple[str, ...] = ()
    favorable: str | int | None = None
    options: dict[str, float | int | str] = Field(default_factory=dict)
    compare: bool = True
    """Train once more without it, to report the figures before."""

    @model_validator(mode="after")
    def _known(self) -> Mitigation:
        mitigation.check(self.method, self.options)
        return self

    def resolved(self, fairness: Fairness | None) -> mitigation.Mitigation:
        """As training knows it, with what spec.gates.fairness says where it says nothing itself.

        Raises:
            ValueError: neither says whom to compare, or which class is favorable.
        """
        first = fairness.attributes[0] if fairness else None
        named = self.protected is None or (first is not None and self.protected == first.name)
        protected = self.protected or (first.name if first else "")
        privileged = self.privileged or (first.privileged if first and named else ())
        favorable = self.favorable
        if favorable is None and fairness and not isinstance(fairness.favorable, tuple):
            favorable = fairness.favorable
        if not protected or not privileged or favorable is None:
            raise ValueError(
                "protected, privileged and favorable here, or in spec.gates.fairness for one class"
            )
        return mitigation.Mitigation(
            method=self.method,
            protected=protected,
            privileged=privileged,
            favorable=favorable,
            options=self.options,
            compare=self.compare,
        )


class Defence(Strict):
    """A defence against adversarial inputs (docs/defences.md)."""

    method: str
    options: dict[str, Option] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Defence:
        defences.check(self.method, self.options)
        return self

    def resolved(self, robustness: Robustness | None) -> defences.Defence:
        """As training knows it; against what spec.gates.robustness attacks with, by default."""
        known = defences.METHODS[self.method].options
        given = {**_budget(robustness, self.options.get("norm")), **self.options}
        return defences.Defence(
            method=self.method,
            options={n: v for n, v in given.items() if n in self.options or "norm" in known},
        )


class EvasionDetector(Strict):
    """A detector of adversarial inputs, trained with the model and served beside it."""

    on: Literal["inputs", "activations"] = "activations"
    norm: Literal["linf", "l2"] | None = None
    epsilon: Fraction | None = None
    """Of the attacks it learns from; those of spec.gates.robustness by default, else 8/255."""
    steps: int = Field(default=10, ge=1, le=1000)
    epochs: int = Field(default=20, ge=1)
    samples: int = Field(default=2048, ge=1)
    """Training samples that are attacked, at most."""
    false_positive_rate: float = Field(default=0.05, gt=0, lt=1)
    """The share of clean inputs that may be flagged."""

    def resolved(self, robustness: Robustness | None) -> evasion.Evasion:
        """As training knows it."""
        return evasion.Evasion(
            **_budget(robustness, self.norm) | self.model_dump(exclude_none=True)
        )


def _budget(robustness: Robustness | None, norm: Any) -> dict[str, float | str]:
    """The gate's norm and epsilon, where training knows the norm, and `norm` is no other one."""
    if robustness is None or robustness.norm not in ("linf", "l2"):
        return {}
    if norm not in (None, robustness.norm):
        return {}
    return {"norm": robustness.norm, "epsilon": robustness.epsilon}


class Train(Strict):
    backend: Literal["pytorchjob", "trainjob"] = "pytorchjob"
    workers: int = Field(default=1, ge=1, le=64)
    gpus_per_worker: int = Field(default=0, ge=0, le=16)
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    mitigation: Mitigation | None = None
    defences: tuple[Defence, ...] = ()
    """Applied in this order; those of inputs become part of the served model."""
    evasion_detector: EvasionDetector | None = None

    @property
    def methods(self) -> set[str]:
        """Names of the mitigation and the defences."""
        mitigations = () if self.mitigation is None else (self.mitigation,)
        return {one.method for one in (*mitigations, *self.defences)}


def _named(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


class Remedy(Strict):
    """How a refused model is trained again, without anyone asking (docs/remedies.md)."""

    fairness: Annotated[Mitigation | None, BeforeValidator(_named)] = None
    """A mitigation, or its method's name alone."""
    robustness: Annotated[Defence | None, BeforeValidator(_named)] = None
    """A defence, or its method's name alone."""
    max_rounds: int = Field(default=1, ge=1, le=5)
    """How often, for one commit."""

    @model_validator(mode="after")
    def _any(self) -> Remedy:
        if not self.methods:
            raise ValueError("a remedy for at least one gate")
        return self

    @property
    def methods(self) -> dict[str, str]:
        """The method by the gate that it is a remedy for."""
        found = {"fairness": self.fairness, "robustness": self.robustness}
        return {gate: remedy.method for gate, remedy in found.items() if remedy is not None}

    @property
    def models(self) -> int:
        """How many models may be judged of one commit: each round may meet each set of remedies."""
        return 1 + self.max_rounds * ((1 << len(self.methods)) - 1)
