"""touchstone.yaml: the contract with a model repository.

`load` reads and judges it before anything runs. Unknown keys are refused, every error names
file:line:column, and `ModelPipeline.model_json_schema()` is the published JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.contract.recipe import (
    Remedy,
    Train,
    Tune,
    defence_against,
    evasion_against,
    mitigation_for,
)
from touchstone.documents.naming import MODEL
from touchstone.documents.validated import validated
from touchstone.documents.yaml import Document, load_beneath, load_file
from touchstone.errors import ManifestError
from touchstone.training.defences import Defence
from touchstone.training.evasion import Evasion
from touchstone.training.mitigation import Mitigation
from touchstone.training.tables.asked import BUILT_IN as BUILT_IN
from touchstone.training.tables.asked import Data as Data
from trust_gates.fairness.policy import Fairness
from trust_gates.gates import Gates
from trust_gates.policy import GatePolicy, Strict
from trust_gates.quality.policy import Quality

FILE_NAME = "touchstone.yaml"

Name = Annotated[str, Field(pattern=f"^{MODEL}$")]


class Metadata(Strict):
    name: Name
    """The model's name, a DNS label: it becomes the InferenceService's."""


class ModelGates(Gates):
    """What every model is judged by: the quality gate cannot be left out."""

    quality: Quality


class Promote(Strict):
    environments: tuple[Name, ...] = Field(default=("production",), min_length=1)


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


_ENTRYPOINT = rf"^([\w./-]+\.py:\w+|{re.escape(BUILT_IN)})$"


def _inside(entrypoint: str) -> str:
    if not re.match(_ENTRYPOINT, entrypoint):
        raise ValueError("file.py:Class, such as model.py:MyModel")
    if entrypoint.startswith("/") or ".." in entrypoint.split("/"):
        raise ValueError("a file inside of the repository")
    return entrypoint


class Spec(Strict):
    entrypoint: Annotated[
        str, AfterValidator(_inside), Field(json_schema_extra={"pattern": _ENTRYPOINT})
    ] = BUILT_IN
    """`file.py:Class` of the touchstone.training.ModelSpec. Of a table it can be left out: the
    model then is a small network, with the hyperparameters `width`, `depth` and `dropout`."""
    data: Data
    tune: Tune | None = None
    train: Train = Train()
    gates: ModelGates
    remedy: Remedy | None = None
    promote: Promote = Promote()
    serve: Serve = Serve()
    card: Card = Card()

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        if self.entrypoint == BUILT_IN and not self.data.is_table:
            raise ValueError(
                "got no entrypoint, expected entrypoint: file.py:Class of a"
                " touchstone.training.ModelSpec, or data.label: the column to tell of a table"
            )
        for problem in contradictions(self.train, self.gates.policies, self.remedy):
            raise ValueError(problem)
        return self

    @property
    def max_rounds(self) -> int:
        """How often a refused model of one commit may be tried again."""
        return self.remedy.max_rounds if self.remedy else 0

    @property
    def mitigation(self) -> Mitigation | None:
        """The training's mitigation, complete."""
        declared = self.train.mitigation
        return None if declared is None else mitigation_for(declared, self.gates.fairness)

    @property
    def defences(self) -> tuple[Defence, ...]:
        """The training's defences, complete."""
        return tuple(defence_against(one, self.gates.robustness) for one in self.train.defences)

    @property
    def evasion(self) -> Evasion | None:
        """The detector to train, complete."""
        declared = self.train.evasion_detector
        return None if declared is None else evasion_against(declared, self.gates.robustness)


def contradictions(
    train: Train, gates: Mapping[str, GatePolicy], remedy: Remedy | None
) -> Iterator[str]:
    """What parts that fit each by itself say of one another that cannot be."""
    robustness, fairness = gates.get("robustness"), gates.get("fairness")
    checks = robustness.checks if robustness else ()
    asked = [one.metric for one in checks if one.metric.startswith("evasion_")]
    if asked and train.evasion_detector is None:
        yield (
            f"got checks of {', '.join(asked)} without spec.train.evasionDetector, expected the"
            " detector that they are of"
        )
    mitigations = [train.mitigation]
    if remedy is not None:
        mitigations.append(remedy.fairness)
        for name in sorted(set(remedy.methods) - set(gates)):
            yield f"got a remedy for {name}, expected spec.gates.{name} beside it"
        for method in sorted(set(remedy.methods.values()) & train.methods):
            yield f"got the remedy {method}, expected another: spec.train applies it already"
    for one in mitigations:
        if one is not None and (fairness is None or isinstance(fairness, Fairness)):
            try:
                mitigation_for(one, fairness)
            except ValueError as error:
                yield str(error)


class ModelPipeline(Strict):
    """A model repository's touchstone.yaml."""

    api_version: Literal["touchstone.dev/v1"]
    kind: Literal["ModelPipeline"]
    metadata: Metadata
    spec: Spec


HINT = "docs/reference/model-repository.md lists every key"


def load(path: Path, *, shown: str = "") -> ModelPipeline:
    """Read and check `path`, a touchstone.yaml or the folder that holds one.

    Args:
        shown: what places call the file of a folder, where that is not its path.

    Raises:
        ManifestError: it is absent, in a folder a link or no file, no YAML, or does not fit; every
            problem with its place.
    """
    return validated(read(path, shown=shown), ModelPipeline, hint=HINT)


def read(path: Path, *, shown: str = "") -> Document:
    """The document that `load` checks. Raises ManifestError where there is none."""
    folder = path.is_dir()
    document = load_beneath(path, FILE_NAME, shown=shown) if folder else load_file(path)
    if document is None:
        file = shown or (path / FILE_NAME if folder else path)
        raise ManifestError("got nothing, expected a mapping", location=f"{file}:1:1")
    return document
