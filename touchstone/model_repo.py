"""touchstone.yaml: the contract with a model repository.

`load` reads and judges it before anything runs. Unknown keys are refused, every error names
file:line:column, and `ModelPipeline.model_json_schema()` is the published JSON Schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from touchstone.errors import ManifestError
from touchstone.policy import Fairness, Fraction, Gates, Name, Option, Robustness, Strict
from touchstone.yaml import Document, load_file
from training import defences, evasion, mitigation

FILE_NAME = "touchstone.yaml"


class Metadata(Strict):
    name: Name
    """The model's name, a DNS label: it becomes the InferenceService's."""


class Data(Strict):
    uri: str
    """What the model's `load_data` is given: `generate`, file://, s3:// or https://."""
    seed: int = Field(default=0, ge=0)
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """What the loaded data must be, as fetch-data prints it; empty accepts what is there."""


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


class Promote(Strict):
    environments: tuple[Name, ...] = Field(default=("production",), min_length=1)
    review: dict[Name, Literal["required", "automatic"]] = Field(default_factory=dict)


class Serve(Strict):
    protocol: Literal["v1", "v2"] = "v2"
    canary: int = Field(default=100, ge=1, le=100)
    """Per cent of the traffic a new version starts with."""
    min_replicas: int = Field(default=0, ge=0)


class Card(Strict):
    """The model card's free text; what is left out shows as "not stated" in the trust report."""

    purpose: str = ""
    intended_use: str = ""
    domain: str = ""
    data: str = ""
    """Where the data comes from, and how it was collected."""
    limits: str = ""
    optimal_conditions: str = ""
    poor_conditions: str = ""
    owner: str = ""
    contact: str = ""
    license: str = ""


class Spec(Strict):
    entrypoint: str = Field(pattern=r"^[\w./-]+\.py:\w+$")
    """`file.py:Class` of the training.ModelSpec."""
    data: Data
    tune: Tune | None = None
    train: Train = Train()
    gates: Gates
    remedy: Remedy | None = None
    promote: Promote = Promote()
    serve: Serve = Serve()
    card: Card = Card()

    @model_validator(mode="after")
    def _has_the_detector_it_checks(self) -> Spec:
        checks = self.gates.robustness.checks if self.gates.robustness else ()
        asked = [one.metric for one in checks if one.metric.startswith("evasion_")]
        if asked and self.train.evasion_detector is None:
            raise ValueError(f"spec.train.evasionDetector for the checks of {', '.join(asked)}")
        return self

    @model_validator(mode="after")
    def _mitigates_someone(self) -> Spec:
        if self.train.mitigation is not None:
            self.train.mitigation.resolved(self.gates.fairness)
        if self.remedy is not None:
            undeclared = set(self.remedy.methods) - set(self.gates.declared)
            if undeclared:
                raise ValueError(f"spec.gates.{min(undeclared)} where it has a remedy")
            if again := set(self.remedy.methods.values()) & self.train.methods:
                raise ValueError(f"a remedy other than {min(again)}, which spec.train applies")
            if self.remedy.fairness is not None:
                self.remedy.fairness.resolved(self.gates.fairness)
        return self

    @property
    def max_rounds(self) -> int:
        """How often a refused model of one commit may be tried again."""
        return self.remedy.max_rounds if self.remedy else 0

    @property
    def mitigation(self) -> mitigation.Mitigation | None:
        """The training's mitigation, complete."""
        declared = self.train.mitigation
        return None if declared is None else declared.resolved(self.gates.fairness)

    @property
    def defences(self) -> tuple[defences.Defence, ...]:
        """The training's defences, complete."""
        return tuple(one.resolved(self.gates.robustness) for one in self.train.defences)

    @property
    def evasion(self) -> evasion.Evasion | None:
        """The detector to train, complete."""
        declared = self.train.evasion_detector
        return None if declared is None else declared.resolved(self.gates.robustness)


class ModelPipeline(Strict):
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
    if document is None:
        raise ManifestError("got nothing, expected a mapping", location=f"{file}:1:1")
    try:
        return ModelPipeline.model_validate(document.body)
    except ValidationError as error:
        places = [problem["loc"] for problem in error.errors()]
        problems = [
            _explain(document, problem)
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


def _explain(document: Document, problem: Any) -> tuple[str, str]:
    path: Sequence[str | int] = problem["loc"]
    place = document.location(path)
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
