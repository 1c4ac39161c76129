"""What every further figure is: names, and how to measure them on samples that were attacked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trust_gates.robustness.budget import Budget, Norm
from trust_gates.robustness.ensemble import Attacked
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples, Task
from trust_gates.statistics import Measure
from trust_gates.verdict import Table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What there is to measure on: the samples, and what the gate's attacks did to them."""

    victim: Victim
    samples: Samples
    attacked: Attacked
    budget: Budget
    confidence: float
    seen: Inputs | None = None
    """What the model sees of the samples, where their inputs hold more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What was measured, by name, and what there is to show of it."""

    measures: Mapping[str, Measure]
    tables: Sequence[Table] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """What was found one after the other, as one."""
        return cls(
            measures={name: m for part in parts for name, m in part.measures.items()},
            tables=[table for part in parts for table in part.tables],
            pictures={name: png for part in parts for name, png in part.pictures.items()},
            captions={name: text for part in parts for name, text in part.captions.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Figures that are measured together. A new one is a new `Figure` in the table of `figures`.

    Importing the module that holds it must not import torch; `measure` does.
    """

    names: tuple[str, ...]
    """As the glossary has them."""

    measure: Callable[[Scene], Found]
    """Raises ValueError where it does not work on such inputs."""

    tasks: tuple[Task, ...] = ("classification",)
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")

    of_slopes: bool = False
    """Whether it measures how steep the answers are, which says nothing of a model of steps."""
