"""touchstone.yaml: the contract with a model repository.

`load` reads and judges it before anything runs. Unknown keys are refused, every error names
file:line:column, and `ModelPipeline.model_json_schema()` is the published JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from touchstone.errors import ManifestError
from touchstone.yaml import load_file, locate

FILE_NAME = "touchstone.yaml"


class _Strict(BaseModel):
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


class Metadata(_Strict):
    name: Name
    """The model's name, a DNS label: it becomes the InferenceService's."""


class Data(_Strict):
    uri: str
    """What the model's `load_data` is given: `generate`, file://, s3:// or https://."""
    seed: int = Field(default=0, ge=0)


class Objective(_Strict):
    metric: str
    goal: Literal["maximize", "minimize"] = "maximize"


class Parameter(_Strict):
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


class Tune(_Strict):
    algorithm: Literal["random", "tpe", "multivariate-tpe", "grid", "cmaes", "sobol"] = "tpe"
    max_trials: int = Field(default=8, ge=1, le=1000)
    parallel_trials: int = Field(default=2, ge=1, le=64)
    epochs: int = Field(default=1, ge=1)
    """How long each trial trains; the final training has its own."""
    objective: Objective
    parameters: tuple[Parameter, ...] = Field(min_length=1)


class Train(_Strict):
    backend: Literal["pytorchjob", "trainjob"] = "pytorchjob"
    workers: int = Field(default=1, ge=1, le=64)
    gpus_per_worker: int = Field(default=0, ge=0, le=16)
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class Check(_Strict):
    """One requirement: a metric and exactly one of `atLeast`, `atMost`, `within`."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    within: Annotated[tuple[float, float], AfterValidator(_ordered)] | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Check:
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.within)) != 1:
            raise ValueError("exactly one of atLeast, atMost, within")
        low, high = _DOMAIN.get(self.metric, (float("-inf"), float("inf")))
        for bound in (self.at_least, self.at_most, *(self.within or ())):
            if bound is not None and not low <= bound <= high:
                raise ValueError(f"a threshold for {self.metric} in [{low:g}, {high:g}]")
        return self


_SHARE = (0.0, 1.0)
_DIFFERENCE = (-1.0, 1.0)
_DOMAIN = {
    "accuracy": _SHARE,
    "balanced_accuracy": _SHARE,
    "map50": _SHARE,
    "recall": _SHARE,
    "robust_accuracy": _SHARE,
    "robust_recall": _SHARE,
    "robust_map50": _SHARE,
    "statistical_parity_difference": _DIFFERENCE,
    "equal_opportunity_difference": _DIFFERENCE,
    "average_odds_difference": _DIFFERENCE,
    "false_negative_rate_difference": _DIFFERENCE,
    "disparate_impact": (0.0, float("inf")),
    "theil_index": (0.0, float("inf")),
}
"""The values a metric can take; a threshold outside of them could never or always hold."""


class Quality(_Strict):
    checks: tuple[Check, ...] = Field(min_length=1)


class Robustness(_Strict):
    norm: Literal["linf", "l2"] = "linf"
    epsilon: Fraction
    """The attack's budget in input units; inputs of images are in [0, 1]."""
    attacks: tuple[Literal["fgsm", "pgd", "square"], ...] = ("fgsm", "pgd", "square")
    samples: int = Field(default=128, ge=1)
    sweep: tuple[Fraction, ...] = ()
    """Further budgets for the picture of accuracy against epsilon."""
    checks: tuple[Check, ...] = Field(min_length=1)


class Fairness(_Strict):
    protected: str
    privileged: tuple[str, ...] = Field(min_length=1)
    favorable: str | int | None = None
    """The favourable label of a classifier; detections are favourable when found."""
    minimum_group: int = Field(default=30, ge=1)
    checks: tuple[Check, ...] = Field(min_length=1)


class Integrity(_Strict):
    """Always all of its checks: there is nothing to choose."""


class Gates(_Strict):
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


class Promote(_Strict):
    environments: tuple[Name, ...] = Field(default=("production",), min_length=1)
    review: dict[Name, Literal["required", "automatic"]] = Field(default_factory=dict)


class Serve(_Strict):
    protocol: Literal["v1", "v2"] = "v2"
    canary: int = Field(default=100, ge=1, le=100)
    """Per cent of the traffic a new version starts with."""
    min_replicas: int = Field(default=0, ge=0)


class Spec(_Strict):
    entrypoint: str = Field(pattern=r"^[\w./-]+\.py:\w+$")
    """`file.py:Class` of the training.ModelSpec."""
    data: Data
    tune: Tune | None = None
    train: Train = Train()
    gates: Gates
    promote: Promote = Promote()
    serve: Serve = Serve()


class ModelPipeline(_Strict):
    """A model repository's touchstone.yaml."""

    api_version: Literal["touchstone.dev/v1"]
    kind: Literal["ModelPipeline"]
    metadata: Metadata
    spec: Spec


def load(path: Path) -> ModelPipeline:
    """Read and check `path`, a touchstone.yaml or the folder that holds one.

    Raises:
        ManifestError: it is absent, no YAML, or does not fit; every problem with its place.
    """
    file = path / FILE_NAME if path.is_dir() else path
    document = load_file(file)
    if not isinstance(document, dict):
        raise ManifestError(
            f"got {type(document).__name__}, expected a mapping", location=f"{file}:1:1"
        )
    try:
        return ModelPipeline.model_validate(document)
    except ValidationError as error:
        places = [problem["loc"] for problem in error.errors()]
        problems = [
            _explain(document, problem, name=str(file))
            for problem in error.errors()
            if not _has_inner(problem["loc"], places)
        ]
    first, rest = problems[0], problems[1:]
    raise ManifestError(
        "\n".join([first[1], *(f"{place}: {text}" for place, text in rest)]),
        location=first[0],
        hint="docs/model-repository.md lists every key",
    )


def _has_inner(path: tuple[str | int, ...], places: Sequence[tuple[str | int, ...]]) -> bool:
    # pydantic also calls a list too short when its only item was refused: that item says more.
    return any(len(place) > len(path) and place[: len(path)] == path for place in places)


def _explain(document: Any, problem: Any, *, name: str) -> tuple[str, str]:
    path: Sequence[str | int] = problem["loc"]
    place = locate(document, path, name=name)
    field = ".".join(str(part) for part in path)
    match problem["type"]:
        case "extra_forbidden":
            return place, f"got unknown key {field}, expected one of the documented keys"
        case "missing":
            return place, f"{field} is missing"
        case "value_error":
            return place, f"{field}: got {problem['input']!r}, expected {problem['ctx']['error']}"
        case _:
            return place, f"{field}: got {problem['input']!r}, expected {_expected(problem)}"


def _expected(problem: Any) -> str:
    message: str = problem["msg"]
    return message.removeprefix("Input should be ").removeprefix("Value error, ")
