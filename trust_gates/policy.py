"""What the policies of all gates are made of: checks, fractions, and what only a run knows.

A gate's policy is one model, in `trust_gates/<gate>/policy.py`, and the only description of it:
touchstone.yaml, gates files, both command lines, the JSON Schema and the tables of docs/ read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from trust_gates.errors import PolicyError
from trust_gates.metric import Metric
from trust_gates.named import Known
from trust_gates.samples import Samples
from trust_gates.statistics import Requirement
from trust_gates.verdict import Required
from trust_gates.wording import alike

Path = tuple[str | int, ...]
"""Of a field within a policy, in the words of touchstone.yaml."""

COMPANY = "answers_differ_by_company"
"""The check of `trust_gates.company`, which no policy can ask for less of."""


class Strict(BaseModel):
    """A mapping whose keys are all known; what stands below a field says what it means."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    def plain(self) -> dict[str, Any]:
        """As plain data, in the words of touchstone.yaml."""
        return self.model_dump(mode="json", by_alias=True)


def fraction(value: Any) -> Any:
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


def _written(**limits: float) -> WithJsonSchema:
    text = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*\d+$"}
    return WithJsonSchema({"anyOf": [{"type": "number", **limits}, text]})


Number = Annotated[float, BeforeValidator(fraction), _written()]
Fraction = Annotated[float, Field(gt=0), BeforeValidator(fraction), _written(exclusiveMinimum=0)]
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotates a string that must be a name of a table; the JSON Schema offers them all."""

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return {**handler(schema), "enum": list(self.names)}

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(f"one of {list(self.names)}")
        return name


class Check(Strict):
    """One requirement: a metric and exactly one of `atLeast`, `atMost`, `within`."""

    metric: str
    at_least: Number | None = None
    at_most: Number | None = None
    within: Range | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Check:
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.within)) != 1:
            raise ValueError("exactly one of atLeast, atMost, within")
        return self

    @property
    def requirement(self) -> Requirement:
        """As the statistics know it."""
        low, high = self.within or (self.at_least, self.at_most)
        required = Required(
            low=-math.inf if low is None else low, high=math.inf if high is None else high
        )
        return Requirement(metric=self.metric, required=required)


def measured(gate: str, metrics: Iterable[Metric]) -> AfterValidator:
    """Refuse a check of what the gate does not measure, or that could never or always hold."""
    known = {one.name: one for one in metrics if one.advice and one.name != COMPANY}

    def fits(check: Check) -> Check:
        metric = known.get(check.metric)
        if metric is None:
            raise ValueError(
                f"got the metric {check.metric!r} for the {gate} gate, expected one of: "
                f"{', '.join(sorted(known))}{alike(check.metric, known)}"
            )
        for bound in (check.at_least, check.at_most, *(check.within or ())):
            if bound is not None and not metric.low <= bound <= metric.high:
                raise ValueError(
                    f"a threshold for {check.metric} in [{metric.low:g}, {metric.high:g}]"
                )
        return check

    return AfterValidator(fits)


class GatePolicy(Strict):
    """What every gate's policy has."""

    checks: tuple[Check, ...] = Field(min_length=1)

    @field_validator("checks")
    @classmethod
    def _once(cls, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        names = [check.metric for check in checks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"got several checks of {', '.join(twice)}, expected one of each metric; `within`"
                " has two bounds"
            )
        return checks

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """What the checks require."""
        return tuple(check.requirement for check in self.checks)

    @property
    def always(self) -> dict[str, Required]:
        """What the gate requires whatever the policy says, by the check's name."""
        return {}

    @property
    def as_served(self) -> dict[str, Required]:
        """Likewise of every model that it asks, whichever gate it is."""
        return {COMPANY: Required(high=0)}

    @property
    def sometimes(self) -> dict[str, Required]:
        """Likewise, where there is something to hold it against."""
        return {}

    def misnamed(self, known: Known) -> Iterator[tuple[Path, str]]:
        """Each field that names a class, group or feature that the data do not have, and why."""
        yield from ()

    def check_names(self, known: Known) -> None:
        """Raise PolicyError where it names a class, group or feature that the data do not have."""
        for _, problem in self.misnamed(known):
            raise PolicyError(problem)

    @property
    def estimates(self) -> bool:
        """Whether anything it decides is left to chance, so that it needs a share of the error."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a gate needs to know beside its policy, and only a run can say."""

    confidence: float = 0.95
    """What the gate decides at: its part of `Gates.confidence`."""

    seed: int = 0
    features: tuple[str, ...] = ()
    """Names of an input row's values, or of an image's channels; empty where they have none."""

    columns: tuple[str, ...] = ()
    """The column of a table that each feature is of, where rows are encoded."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each protected attribute's values as the data declare them, where they do."""

    def known(self, samples: Samples) -> Known:
        """Every name that a policy can mean: those of the samples, and those declared."""
        groups = {
            name: list(dict.fromkeys([*self.groups.get(name, ()), *sorted(set(values.tolist()))]))
            for name, values in samples.groups.items()
        }
        return Known(
            classes=samples.classes,
            task=samples.task,
            groups=groups,
            features=self.features,
        )
