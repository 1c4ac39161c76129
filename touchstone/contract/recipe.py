"""How a model is trained: the `tune`, `train` and `remedy` parts of touchstone.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.methods import NORMS
from touchstone.training.mitigation import Mitigation
from touchstone.training.spec import Precision
from trust_gates.fairness.policy import Fairness
from trust_gates.policy import Strict
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


def mitigation_for(declared: Mitigation, fairness: Fairness | None) -> Mitigation:
    """Complete, with what spec.gates.fairness says where it says nothing itself.

    Raises:
        ValueError: neither says whom to compare, or which class is favorable.
    """
    first = fairness.attributes[0] if fairness else None
    protected = declared.protected or (first.name if first else "")
    known = first is not None and first.name == protected
    privileged = declared.privileged or (first.privileged if first and known else ())
    favorable = declared.favorable
    if favorable is None and fairness and not isinstance(fairness.favorable, tuple):
        favorable = fairness.favorable
    if not protected or not privileged or favorable is None:
        raise ValueError(
            f"got the mitigation {declared.method} without whom to compare, expected protected,"
            " privileged and favorable in it, or in spec.gates.fairness for one class"
        )
    return declared.model_copy(
        update={"protected": protected, "privileged": privileged, "favorable": favorable}
    )


def defence_against(declared: Defence, robustness: Robustness | None) -> Defence:
    """Against what spec.gates.robustness attacks with, where it says nothing itself."""
    if "norm" not in Defence.KNOWN[declared.method].options:
        return declared
    budget = _budget(robustness, declared.options.get("norm"))
    return Defence(method=declared.method, options={**budget, **declared.options})


def evasion_against(declared: Evasion, robustness: Robustness | None) -> Evasion:
    """Learning from what spec.gates.robustness attacks with, where it says nothing itself."""
    said = declared.model_dump(include=declared.model_fields_set)
    return Evasion(**(_budget(robustness, said.get("norm")) | said))


def _budget(robustness: Robustness | None, norm: Any) -> dict[str, Any]:
    """The gate's norm and epsilon, where training knows the norm, and `norm` is no other one."""
    if robustness is None or robustness.norm not in NORMS:
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
    precision: Precision = "auto"
    mitigation: Mitigation | None = None
    defences: tuple[Defence, ...] = ()
    """Applied in this order; those of inputs become part of the served model."""
    evasion_detector: Evasion | None = None

    @property
    def methods(self) -> set[str]:
        """Names of the mitigation and the defences."""
        mitigations = () if self.mitigation is None else (self.mitigation,)
        return {one.method for one in (*mitigations, *self.defences)}


def _named(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


class Remedy(Strict):
    """How a refused model is trained again, unasked (docs/explanation/remedies.md)."""

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
