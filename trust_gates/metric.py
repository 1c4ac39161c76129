"""What a figure means: the words, the ideal and the range that every reader of it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trust_gates.written import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure that a gate measures."""

    name: str
    meaning: str
    """In words a reviewer understands, without the ideal value."""

    ideal: float | None = None
    low: float = -math.inf
    high: float = math.inf
    """The values it can take: a threshold outside of them could never, or always, hold."""

    fair: tuple[float, float] | None = None
    """The range usually taken as fair, where there is such a custom."""

    advice: str = ""
    """What to do where a check of it does not pass, in a sentence; empty without any check."""

    tasks: tuple[str, ...] = ()
    """Models of these tasks are measured by it; empty for all."""

    def serves(self, task: str) -> bool:
        """Whether models of the task are measured by it."""
        return not self.tasks or task in self.tasks

    @property
    def ratio(self) -> bool:
        """Whether it compares two values by division: 1/2 is then as far from 1 as 2."""
        return self.ideal == 1 and self.low == 0 and math.isinf(self.high)

    def __str__(self) -> str:
        text = self.meaning
        if self.ideal is not None:
            text += f"; {number(self.ideal)} is ideal"
        if self.fair is not None:
            text += f", {number(self.fair[0])} to {number(self.fair[1])} counts as fair"
        return text


def share(name: str, meaning: str, advice: str = "", *, ideal: float | None = 1) -> Metric:
    """A metric from 0 to 1."""
    return Metric(name=name, meaning=meaning, ideal=ideal, low=0, high=1, advice=advice)


def difference(
    name: str, meaning: str, advice: str = "", *, fair: tuple[float, float] | None = None
) -> Metric:
    """A metric from -1 to 1 that is 0 at best."""
    return Metric(name=name, meaning=meaning, ideal=0, low=-1, high=1, fair=fair, advice=advice)


def count(name: str, meaning: str, advice: str = "", *, ideal: float | None = 0) -> Metric:
    """A metric from 0 on without an upper end, a count or a distance."""
    return Metric(name=name, meaning=meaning, ideal=ideal, low=0, high=math.inf, advice=advice)


def only(tasks: str | tuple[str, ...], *metrics: Metric) -> tuple[Metric, ...]:
    """Those that only models of this task, or of these, are measured by."""
    named = (tasks,) if isinstance(tasks, str) else tasks
    return tuple(replace(metric, tasks=named) for metric in metrics)


DECIDING = ("classification", "detection")
"""The tasks whose answers are right or wrong."""


def compared(metric: str, *parts: str) -> str:
    """`metric[part, part]`: what is compared; empty parts are left out."""
    words = ", ".join(filter(None, parts))
    return f"{metric}[{words}]" if words else metric


def plain(name: str) -> str:
    """The metric of `metric[comparison]`."""
    return name.partition("[")[0]


EVALUATION = "evaluation"
"""A check called `metric[evaluation]`, or `metric[evaluation: comparison]`, rests on the
organisation's own data."""


def on_evaluation(name: str) -> str:
    """The name that a check of `metric`, or `metric[comparison]`, has on the evaluation data."""
    metric, _, comparison = name.partition("[")
    return f"{metric}[{EVALUATION}: {comparison}" if comparison else f"{metric}[{EVALUATION}]"


def of_evaluation(name: str) -> bool:
    """Whether the check of that name rests on the evaluation data."""
    return name.partition("[")[2].startswith((f"{EVALUATION}]", f"{EVALUATION}: "))
