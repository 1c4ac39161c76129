"""What an organisation asks of every model at least, whatever the model's own policy says.

A policy comes with the model that it judges, so its author could ask for nothing. A floor is kept
where the author cannot write; a policy may ask for more than it, never for less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

from trust_gates.evaluation import Evaluation
from trust_gates.explainability.metrics import METRICS as EXPLAINABILITY
from trust_gates.explainability.policy import Explainability
from trust_gates.fairness.metrics import ALSO
from trust_gates.fairness.metrics import METRICS as FAIRNESS
from trust_gates.fairness.policy import Fairness
from trust_gates.gates import Gates
from trust_gates.inputs.description import DTYPES
from trust_gates.integrity.metrics import CHECKED
from trust_gates.integrity.policy import Integrity, Poisoning
from trust_gates.metric import Metric
from trust_gates.named import Name
from trust_gates.policy import Check, Fraction, OneOf, Range, Strict, measured
from trust_gates.quality.metrics import METRICS as QUALITY
from trust_gates.quality.policy import Quality
from trust_gates.robustness.attacks import ATTACKS, ENSEMBLES, members
from trust_gates.robustness.budget import Norm
from trust_gates.robustness.metrics import METRICS as ROBUSTNESS
from trust_gates.robustness.policy import Robustness
from trust_gates.samples import Task
from trust_gates.verdict import Required

_ROUNDING = 1e-9
"""Relative: 8/255 and its decimals are the same budget."""


class Inputs(BaseModel):
    """What a dataset says of its inputs, as far as a floor depends on it.

    As `trust_gates.inputs.description.Description.inputs`, which is the author's word: anything.
    """

    model_config = ConfigDict(frozen=True)

    low: FiniteFloat
    high: FiniteFloat
    dtype: str = DTYPES[0]
    features: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> Inputs:
        if not self.low < self.high:
            raise ValueError("inputs with low < high")
        return self

    @property
    def range(self) -> float:
        """From the lowest to the highest value; of tokens that of their vectors, which is the unit
        that an epsilon is given in."""
        return self.high - self.low if self.dtype == DTYPES[0] else 1.0


class Facts(BaseModel):
    """What a dataset says of itself, as far as a floor depends on it."""

    model_config = ConfigDict(frozen=True)

    task: Task
    protected: dict[str, tuple[str, ...]]
    """Each protected attribute with its values."""

    inputs: Inputs
    test: int
    """Samples of the test split."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Something that a policy asks less of than a floor."""

    what: str
    asked: str
    wanted: str

    def told(self, floor: str) -> str:
        """In a line, with both values; `floor` is what the floor stands in."""
        return f"{self.what}: touchstone.yaml asks {self.asked}, {floor} asks {self.wanted}"


def _listed(value: Any) -> Any:
    """An item that is not a list is a list of itself."""
    if not isinstance(value, list | tuple):
        return value
    if any(isinstance(item, list | tuple) and not item for item in value):
        raise ValueError("in each list within the list at least one")
    return [item if isinstance(item, list | tuple) else [item] for item in value]


_CHECKS = BeforeValidator(_listed, json_schema_input_type=tuple[Check | tuple[Check, ...], ...])
_ATTACKS = BeforeValidator(_listed, json_schema_input_type=tuple[str | tuple[str, ...], ...])
_NAMES = (*ATTACKS, *ENSEMBLES)


class QualityFloor(Strict):
    """What the quality gate is asked at least."""

    checks: Annotated[
        tuple[tuple[Annotated[Check, measured("quality", QUALITY)], ...], ...], _CHECKS
    ] = ()
    """Checks that must be there, at least as strict; of a list within the list, one of them."""

    champion: bool = False
    """Whether `champion` must be there."""

    margin: float | None = Field(default=None, ge=0, lt=1)
    """`champion.margin` at most, where it is there."""

    minimum_slice: int | None = Field(default=None, ge=1)
    """`minimumSlice` at most: a larger one leaves slices out."""

    samples: int | None = Field(default=None, ge=1)
    """The test split has at least so many."""

    def shortfalls(self, policy: Quality, data: Facts | None) -> Iterator[Shortfall]:
        """What the policy asks less of."""
        yield from _unchecked("quality", self.checks, _required(policy.checks), QUALITY)
        if policy.champion is not None:
            yield from _more("quality champion margin", policy.champion.margin, self.margin)
        elif self.champion:
            yield Shortfall("quality champion", "nothing", "for a comparison with what is served")
        yield from _more("quality minimumSlice", policy.minimum_slice, self.minimum_slice)
        if data is not None and self.samples is not None and data.test < self.samples:
            asked = f"for a decision on the data's {data.test} test samples"
            yield Shortfall("quality samples", asked, f"for {self.samples} at least")


class RobustnessFloor(Strict):
    """What the robustness gate is asked at least."""

    checks: Annotated[
        tuple[tuple[Annotated[Check, measured("robustness", ROBUSTNESS)], ...], ...], _CHECKS
    ] = ()
    """Checks that must be there, at least as strict; of a list within the list, one of them."""

    epsilon: dict[Norm, Fraction] = Field(default_factory=dict)
    """`epsilon` at least, by norm, in units of the inputs; no other norm will do."""

    epsilon_of_range: dict[Norm, Fraction] = Field(default_factory=dict)
    """Likewise, as a share of the range from the data's lowest to its highest value: data that are
    scaled up make every epsilon small. Where `epsilon` is not given, no other norm will do."""

    attacks: Annotated[tuple[tuple[Annotated[str, OneOf(_NAMES)], ...], ...], _ATTACKS] = ()
    """Attacks that must be there; of a list within the list, one of them."""

    steps: int | None = Field(default=None, ge=1)
    """Steps at least of each iterated one of `attacks`, or of all where it names none; by default
    each attack's own."""

    queries: int | None = Field(default=None, ge=1)
    """Queries at least of each black-box one, likewise."""

    samples: int | None = Field(default=None, ge=1)
    """`samples` at least."""

    tolerance: float | None = Field(default=None, gt=0)
    """`tolerance` at most, of regressions."""

    immutable: tuple[Name, ...] | None = None
    """Features that `immutable`, or the data, may keep from an attacker; by default all may be
    kept that leave `reach`."""

    bounds: dict[Name, Range] | None = None
    """How narrow `bounds` of a feature, or the data's, may be; where it is given, other features
    have none."""

    reach: float | None = Field(default=None, gt=0, le=1)
    """Share of the inputs' range in which an attacker must be able to set a feature, mean over
    those that are not categorical, after `immutable` and `bounds` of the policy and of the data."""

    def shortfalls(self, policy: Robustness, data: Facts | None) -> Iterator[Shortfall]:
        """What the policy, or what the data say of attackers, asks less of."""
        yield from _unchecked("robustness", self.checks, _required(policy.checks), ROBUSTNESS)
        norm = policy.norm
        if (named := self.epsilon or self.epsilon_of_range) and norm not in named:
            yield Shortfall("robustness norm", norm, " or ".join(named))
        yield from _less(f"robustness epsilon under {norm}", policy.epsilon, self.epsilon.get(norm))
        if data is not None and (share := self.epsilon_of_range.get(norm)):
            what = f"robustness epsilon under {norm} as a share of the inputs' range"
            yield from _less(what, policy.epsilon / data.inputs.range, share)
        yield from self._attacks(policy, data)
        yield from _less("robustness samples", policy.samples, self.samples)
        if policy.tolerance is not None:
            yield from _more("robustness tolerance", policy.tolerance, self.tolerance)
        yield from self._limits(policy, data)

    def _attacks(self, policy: Robustness, data: Facts | None) -> Iterator[Shortfall]:
        for several in self.attacks or [(name,) for name in policy.names]:
            present = [one for one in several if set(members(one)) <= set(policy.names)]
            if not present:
                asked = ", ".join(policy.names)
                yield Shortfall("robustness attacks", asked, f"for {' or '.join(several)}")
                continue
            weak = [list(self._effort(policy, one, data)) for one in present]
            if all(weak):
                yield from weak[0]

    def _effort(self, policy: Robustness, name: str, data: Facts | None) -> Iterator[Shortfall]:
        budget = policy.budget(seed=0)
        tasks: tuple[Task, ...] = ("classification", "detection") if data is None else (data.task,)
        standard = ENSEMBLES.get(name)
        for attack in map(ATTACKS.__getitem__, members(name)):
            if attack.effort is None:
                continue  # a single step
            kind = "steps" if attack.kind == "white" else "queries"
            own = min(attack.own_effort(task) for task in tasks)
            wanted = getattr(self, kind) or getattr(standard, kind, own)
            asked = min(attack.spends(budget, task) for task in tasks)
            yield from _less(f"robustness {kind} of {attack.name}", asked, wanted)

    def _limits(self, policy: Robustness, data: Facts | None) -> Iterator[Shortfall]:
        fixed, narrowed = [*policy.immutable], [*policy.bounds.items()]
        if data is not None:
            fixed += [*data.inputs.immutable, *data.inputs.categorical]
            narrowed += data.inputs.bounds.items()
        if self.immutable is not None and (more := set(fixed) - set(self.immutable)):
            wanted = f"none but {', '.join(self.immutable)}" if self.immutable else "none"
            yield Shortfall("robustness immutable", ", ".join(sorted(more)), wanted)
        for name, (low, high) in narrowed if self.bounds is not None else ():
            allowed = (self.bounds or {}).get(name)
            if allowed is None or not (low <= allowed[0] and high >= allowed[1]):
                wanted = f"{list(allowed)} at least" if allowed else "none"
                yield Shortfall(f"robustness bounds of {name}", str([low, high]), wanted)
        if data is not None and self.reach is not None and (fixed or narrowed):
            yield from _less("robustness reach", _reach(fixed, narrowed, data.inputs), self.reach)


class FairnessFloor(Strict):
    """What the fairness gate is asked at least."""

    checks: Annotated[
        tuple[tuple[Annotated[Check, measured("fairness", (*FAIRNESS, *ALSO))], ...], ...], _CHECKS
    ] = ()
    """Checks that must be there, at least as strict; of a list within the list, one of them."""

    attributes: Literal["all"] | tuple[Name, ...] = ()
    """Protected attributes that must be judged, in every model; or `all` that its data declare."""

    minimum_group: int | None = Field(default=None, ge=1)
    """`minimumGroup` at least."""

    alpha: float | None = None
    """`alpha` exactly."""

    def shortfalls(self, policy: Fairness | None, data: Facts | None) -> Iterator[Shortfall]:
        """What the policy asks less of; without one, whom it judges nobody of."""
        judged = [] if policy is None else [one.name for one in policy.attributes]
        wanted = _named(self.attributes, data)
        if lacking := [name for name in wanted if name not in judged]:
            asked = ", ".join(judged) or "for none"
            yield Shortfall("fairness attributes", asked, f"for {', '.join(lacking)} too")
        if policy is None:
            return
        metrics = (*FAIRNESS, *ALSO)
        yield from _unchecked("fairness", self.checks, _required(policy.checks), metrics)
        yield from _less("fairness minimumGroup", policy.minimum_group, self.minimum_group)
        if self.alpha is not None and policy.alpha != self.alpha:
            yield Shortfall("fairness alpha", _number(policy.alpha), _number(self.alpha))


class ExplainabilityFloor(Strict):
    """What the explainability gate is asked at least."""

    checks: Annotated[
        tuple[tuple[Annotated[Check, measured("explainability", EXPLAINABILITY)], ...], ...],
        _CHECKS,
    ] = ()
    """Checks that must be there, at least as strict; of a list within the list, one of them."""

    samples: int | None = Field(default=None, ge=1)
    """`samples` at least."""

    protected: Literal["all"] | tuple[Name, ...] = ()
    """Attributes that decisions must not rest on; or `all` that the data declare."""

    proxy: float | None = Field(default=None, gt=0, le=1)
    """`proxy` at most."""

    def shortfalls(self, policy: Explainability, data: Facts | None) -> Iterator[Shortfall]:
        """What the policy asks less of."""
        yield from _unchecked(
            "explainability", self.checks, _required(policy.checks), EXPLAINABILITY
        )
        yield from _less("explainability samples", policy.samples, self.samples)
        yield from _more("explainability proxy", policy.proxy, self.proxy)
        looked_at = policy.protected or (None if data is None else tuple(data.protected))
        wanted = _named(self.protected, data)
        if looked_at is not None and (lacking := [n for n in wanted if n not in looked_at]):
            asked = ", ".join(looked_at) or "for none"
            yield Shortfall("explainability protected", asked, f"for {', '.join(lacking)} too")


class IntegrityFloor(Strict):
    """What the integrity gate is asked at least."""

    checks: Annotated[
        tuple[tuple[Annotated[Check, measured("integrity", CHECKED)], ...], ...], _CHECKS
    ] = ()
    """Checks that must be there, at least as strict, if only by the gate's own default; of a list
    within the list, one of them."""

    poisoning: Poisoning | None = None
    """`poisoning` must be there, with these detectors and at least these numbers."""

    pinned: bool = False
    """Whether `pinned` must be true."""

    def shortfalls(self, policy: Integrity, data: Facts | None) -> Iterator[Shortfall]:
        """What the policy asks less of."""
        effective = {**policy.always, **policy.sometimes, **_required(policy.checks)}
        yield from _unchecked("integrity", self.checks, effective, CHECKED)
        if self.pinned and not policy.pinned:
            yield Shortfall("integrity pinned", "false", "true")
        if self.poisoning is None:
            return
        if policy.poisoning is None:
            yield Shortfall("integrity poisoning", "nothing", "that backdoors are searched for")
            return
        for key, wanted in self.poisoning:
            asked, what = getattr(policy.poisoning, key), f"integrity poisoning {key}"
            if not isinstance(wanted, tuple):
                yield from _less(what, asked, wanted)
            elif lacking := [one for one in wanted if one not in asked]:
                yield Shortfall(what, ", ".join(asked), f"for {', '.join(lacking)} too")


class Floor(Strict):
    """What the policies of all gates ask at least. It asks nothing of a gate that is not there."""

    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    """`confidence` at least."""

    evaluation: Evaluation | None = None
    """Samples of the organisation's own, on which the gates judge as well: the test split is the
    author's word."""

    quality: QualityFloor = Field(default_factory=QualityFloor)
    """Of the quality gate."""

    robustness: RobustnessFloor = Field(default_factory=RobustnessFloor)
    """Of the robustness gate."""

    fairness: FairnessFloor = Field(default_factory=FairnessFloor)
    """Of the fairness gate."""

    explainability: ExplainabilityFloor = Field(default_factory=ExplainabilityFloor)
    """Of the explainability gate."""

    integrity: IntegrityFloor = Field(default_factory=IntegrityFloor)
    """Of the integrity gate."""

    def shortfalls(self, gates: Gates, data: Facts | None = None) -> list[Shortfall]:
        """Whatever the policies ask less of; without `data`, as far as can be said before."""
        found = list(_less("confidence", gates.confidence, self.confidence))
        if gates.quality is not None:
            found += self.quality.shortfalls(gates.quality, data)
        if gates.robustness is not None:
            found += self.robustness.shortfalls(gates.robustness, data)
        found += self.fairness.shortfalls(gates.fairness, data)
        if gates.explainability is not None:
            found += self.explainability.shortfalls(gates.explainability, data)
        return [*found, *self.integrity.shortfalls(gates.integrity, data)]

    def problems(
        self, gates: Gates, data: Facts | None = None, *, place: str = "the floor"
    ) -> list[str]:
        """The shortfalls, each in a line with both values; `place` is where the floor stands."""
        return [one.told(place) for one in self.shortfalls(gates, data)]


def _required(checks: Iterable[Check]) -> dict[str, Required]:
    """What is required of each metric; a policy checks each once."""
    return {check.metric: check.requirement.required for check in checks}


def _unchecked(
    gate: str,
    floor: Iterable[Sequence[Check]],
    asked: Mapping[str, Required],
    metrics: Iterable[Metric],
) -> Iterator[Shortfall]:
    """Of each of the floor's alternatives none is checked as strictly."""
    known = {metric.name: metric for metric in metrics}
    for several in floor:
        if any(
            _as_strict(asked[check.metric], check.requirement.required, known[check.metric])
            for check in several
            if check.metric in asked
        ):
            continue
        # The metric that the policy looks at, where there is one: its author means that.
        near = [check for check in several if check.metric in asked] or several
        names = " or ".join(check.metric for check in near)
        got = " and ".join(str(asked[check.metric]) for check in near if check.metric in asked)
        bounds = [check.requirement.required for check in near]
        end = "least" if all(math.isinf(bound.high) for bound in bounds) else "most"
        wanted = " or ".join(map(str, bounds))
        yield Shortfall(f"{gate} {names}", got or "nothing", f"{wanted} at {end}")


def _as_strict(asked: Required, wanted: Required, metric: Metric) -> bool:
    """Whether every value that is accepted is one that the floor accepts, of those there can be."""
    low, high = max(asked.low, metric.low), min(asked.high, metric.high)
    return _reaches(low, wanted.low) and _reaches(-high, -wanted.high)


def _reaches(asked: float, wanted: float) -> bool:
    return asked >= wanted or asked >= wanted - _ROUNDING * abs(wanted)


def _less(what: str, asked: float, wanted: float | None) -> Iterator[Shortfall]:
    if wanted is not None and not _reaches(asked, wanted):
        yield Shortfall(what, _number(asked), f"{_number(wanted)} at least")


def _more(what: str, asked: float, wanted: float | None) -> Iterator[Shortfall]:
    if wanted is not None and not _reaches(-asked, -wanted):
        yield Shortfall(what, _number(asked), f"{_number(wanted)} at most")


def _number(value: float) -> str:
    return f"{value:.10g}"


def _named(wanted: Literal["all"] | tuple[str, ...], data: Facts | None) -> tuple[str, ...]:
    """The attributes, as far as they are known."""
    if wanted != "all":
        return wanted
    return () if data is None else tuple(data.protected)


def _reach(
    fixed: Iterable[str], narrowed: Iterable[tuple[str, tuple[float, float]]], inputs: Inputs
) -> float:
    """The mean share of the inputs' range that is left of each feature, 0 to 1.

    Small steps make no other category, so those features would only say what kind of table it is.
    """
    left = dict.fromkeys(set(inputs.features) - set(inputs.categorical), (inputs.low, inputs.high))
    for name, (low, high) in narrowed:
        if name in left:
            left[name] = (max(low, left[name][0]), min(high, left[name][1]))
    left |= {name: (0.0, 0.0) for name in fixed if name in left}
    shares = [max(0.0, high - low) / inputs.range for low, high in left.values()]
    return sum(shares) / max(1, len(shares)) if inputs.features else 1.0
