"""What every attack is: a name, what it needs, and how to run it within a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trust_gates.robustness.budget import Budget, Norm
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples, Task

Kind = Literal["white", "black"]
BATCH = 64
"""Samples that ART's attacks handle at once; native ones have their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack by name. A new attack is a new `Attack` in the table of `attacks`.

    Importing the module that holds it must not import torch or ART: touchstone.yaml is checked
    against the table. `generate` imports them.
    """

    name: str
    meaning: str
    """What it does, in words a reviewer understands, with its paper."""

    kind: Kind
    """White-box attacks follow gradients; black-box ones only ask for answers."""

    cost: int
    """About how many forward passes a sample takes, a backward pass counted as two. White-box
    attacks run first, and of each kind the cheap ones: dear ones see only the survivors."""

    generate: Callable[[Victim, Samples, Budget], Inputs]
    """The attacked inputs, shaped as the samples' inputs.

    `attacks.run` pulls them back into the values that the attacker may use, and measures them.

    Raises:
        ValueError: it does not work on such inputs.
    """

    effort: int | None = None
    """Gradient steps of a white-box attack, questions about each sample of a black-box one, where
    the budget names none; None for a single step."""

    detector_effort: int | None = None
    """The same on detectors, where it differs."""

    norms: tuple[Norm, ...] = ("linf", "l2")

    tasks: tuple[Task, ...] = ("classification",)
    """Numbers of a regression are attacked as three classes: see `trust_gates.robustness.band`."""

    restrained: bool = False
    """Whether it is weak by design (a single step, one change for all inputs), so that others may
    find far more without any gradient being masked."""

    minimal: bool = False
    """Whether it looks for the nearest wrong input wherever that is: `attacks.run` puts back the
    inputs that moved beyond the budget, which such an attack did not break."""

    breaks: float = 0.75
    """The share of a known-weak model that it must break to be believed."""

    targeted: bool = False
    """Whether it aims at each wrong class in turn instead of only away from the right one."""

    @property
    def strong(self) -> bool:
        """Whether it alone may be believed to find most of what there is within the budget."""
        return self.kind == "white" and not self.restrained and not self.minimal

    def own_effort(self, task: Task) -> int:
        """Its standard effort."""
        own = (task == "detection" and self.detector_effort) or self.effort
        return own or 1

    def spends(self, budget: Budget, task: Task) -> int:
        """Its effort within `budget`."""
        asked = budget.steps if self.kind == "white" else budget.queries
        return self.own_effort(task) if self.effort is None or asked is None else asked

    def words(self, effort: int) -> str:
        """An effort of it in words."""
        one, several = ("step", "steps") if self.kind == "white" else ("query", "queries")
        return f"{effort} {one if effort == 1 else several}"
