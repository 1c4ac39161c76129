"""What the fairness gate is asked: whom to compare, and how equal they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from trust_gates.fairness.metrics import ALSO, METRICS
from trust_gates.metric import compared, of_evaluation
from trust_gates.named import Known, Name, unknown
from trust_gates.policy import Check, GatePolicy, Path, Strict, measured
from trust_gates.statistics import MINIMUM_SAMPLES


class Protected(Strict):
    """A protected attribute; all values that are not privileged are unprivileged."""

    name: Name
    privileged: tuple[Name, ...] = Field(min_length=1)


class Fairness(GatePolicy):
    """Whom to compare, and how equal they must be."""

    protected: Name | tuple[Protected, ...]
    """One attribute, with `privileged` beside it; or a list of `{name, privileged}`."""

    privileged: tuple[Name, ...] = ()
    """The privileged values of the one attribute; all others are unprivileged."""

    favorable: Name | tuple[Name, ...] | None = None
    """A classifier's favorable class or classes, by name; without one each of three classes or more
    is judged against the rest. A detection is favorable when found; numbers have no favorable
    class."""

    minimum_group: int = Field(default=MINIMUM_SAMPLES, ge=1)
    """Of a group fewer rows (samples or objects) that a figure rests on are too few to judge."""

    alpha: float = 2.0
    """Of the generalized entropy indices: how much the worst off weigh."""

    checks: tuple[Annotated[Check, measured("fairness", (*METRICS, *ALSO))], ...] = Field(
        min_length=1
    )
    """What must hold, in every comparison of groups."""

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
        return self

    @property
    def attributes(self) -> tuple[Protected, ...]:
        """The protected attributes, however they are written."""
        if isinstance(self.protected, str):
            return (Protected(name=self.protected, privileged=self.privileged),)
        return self.protected

    @property
    def wanted(self) -> tuple[str, ...]:
        """The favorable classes' names, however they are written."""
        if self.favorable is None:
            return ()
        return (self.favorable,) if isinstance(self.favorable, str) else self.favorable

    def misnamed(self, known: Known) -> Iterator[tuple[Path, str]]:
        """Whom the policy compares and the data do not have, and what is favorable likewise.

        An attribute whose privileged values are all that there are compares nobody. A name that
        would make a check look like one on the organisation's data is refused.
        """
        for name in (*(one.name for one in self.attributes), *known.classes):
            if of_evaluation(compared("", name)):
                yield (
                    ("protected",),
                    f"got the name {name!r}, by which a check would seem to rest on the evaluation "
                    "data; expected another: rename it in the data",
                )
        for index, attribute in enumerate(self.attributes):
            at: Path = () if isinstance(self.protected, str) else ("protected", index)
            own = "protected" if isinstance(self.protected, str) else "name"
            groups = sorted(known.groups)
            if wrong := list(unknown("the protected attribute", [attribute.name], groups)):
                yield from (((*at, own), problem) for problem in wrong)
                continue
            values, what = known.groups[attribute.name], f"the privileged value of {attribute.name}"
            for problem in unknown(what, attribute.privileged, values):
                yield (*at, "privileged"), problem
            if set(values) <= set(attribute.privileged):
                yield (
                    (*at, "privileged"),
                    f"got every value of {attribute.name} as privileged ({', '.join(values)}), "
                    "expected one at least that is not",
                )
        yield from ((("favorable",), problem) for problem in self._not_favorable(known))

    def _not_favorable(self, known: Known) -> Iterator[str]:
        if known.task != "classification":
            if self.favorable is not None:
                detected = known.task == "detection"
                yield (
                    f"got the favorable class {self.favorable!r} for "
                    f"{'detections' if detected else 'a regression'}, expected none: "
                    + ("a detection is favorable when found" if detected else "numbers have none")
                )
            return
        if self.favorable is None and len(known.classes) <= 2:
            yield f"got no favorable class, expected one of {', '.join(map(repr, known.classes))}"
            return
        yield from unknown("the favorable class", self.wanted, known.classes)
        if self.favorable is not None and not 0 < len(set(self.wanted)) < len(known.classes):
            yield (
                f"got the favorable classes {list(self.wanted)}, expected some and not all of "
                f"{list(known.classes)}"
            )
