"""Which parts of a touchstone.yaml fit, where not all do? What is wrong is told with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from touchstone.contract.model_repo import Data, ModelPipeline, Spec, contradictions
from touchstone.contract.recipe import Remedy, Train, Tune
from touchstone.documents.yaml import Document
from trust_gates import GATES, wording
from trust_gates.gates import Gates
from trust_gates.named import as_typed
from trust_gates.policy import GatePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What fits; None and empty where it does not."""

    pipeline: ModelPipeline | None = None
    """All of it."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    """Each `file:line:column` and what is wrong there."""

    data: Data | None = None
    tune: Tune | None = None
    train: Train | None = None
    gates: dict[str, GatePolicy] = field(default_factory=dict)

    @property
    def whole(self) -> Spec | None:
        """The spec where all of it fits."""
        return self.pipeline.spec if self.pipeline else None


def read(document: Document) -> Parts:
    """The parts of the document that fit."""
    body = as_typed(ModelPipeline, document.body, document.text)
    try:
        pipeline = ModelPipeline.model_validate(body)
        spec = pipeline.spec
        return Parts(
            pipeline=pipeline,
            data=spec.data,
            tune=spec.tune,
            train=spec.train,
            gates=spec.gates.policies,
        )
    except ValidationError as error:
        problems = list(wording.problems(error, document.location, ModelPipeline))
    said = mapping(mapping(body).get("spec"))
    gates = mapping(said.get("gates"))
    policies = {
        name: policy
        for name in GATES
        if name in gates
        and (policy := _fitting(Gates.model_fields[name].annotation, gates[name])) is not None
    }
    train = _fitting(Train, said.get("train", {}))
    asked = _fitting(Remedy, said.get("remedy"))
    if train is not None and policies.keys() == gates.keys() & set(GATES):
        known = {text for _, text in problems}
        for problem in contradictions(train, policies, asked):
            if (text := f"spec: {problem}") not in known:
                problems.append((document.location(("spec",)), text))
    return Parts(
        problems=problems,
        data=_fitting(Data, said.get("data")),
        tune=_fitting(Tune, said.get("tune")),
        train=train,
        gates=policies,
    )


def mapping(value: Any) -> dict[str, Any]:
    """What a document holds in place of one: of anything else nothing."""
    return dict(value) if isinstance(value, Mapping) else {}


def _fitting(declared: Any, value: Any) -> Any:
    """The value as the model that is declared for it; None where it does not fit."""
    models = [declared, *getattr(declared, "__args__", ())]
    for model in models:
        if isinstance(model, type) and issubclass(model, BaseModel):
            try:
                return model.model_validate(value)
            except ValidationError as error:
                # A key that nothing knows hides nothing of the others beside it.
                extra = {e["loc"][0] for e in error.errors() if e["type"] == "extra_forbidden"}
                known = {key: one for key, one in mapping(value).items() if key not in extra}
                return _fitting(model, known) if len(known) < len(mapping(value)) else None
    return None
