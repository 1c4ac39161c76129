"""How does what is left fall as the attacker's budget grows? One curve for each attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trust_gates.progress import tell
from trust_gates.robustness import attacks
from trust_gates.robustness.attacks.attack import Budget
from trust_gates.robustness.ensemble import Held, share
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import Measure
from trust_gates.verdict import Table

_SAMPLES = 48
_STEPS = 10
_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_DEAREST = 400
"""Passes a sample at its standard effort: attacks dearer than that would cost more than all
else, once for every epsilon."""

WORST = "worst of these"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """What each attack left of the same few samples at each epsilon, the first of which is 0."""

    epsilons: Sequence[float]
    curves: Mapping[str, Sequence[Measure]]
    """By attack; the last is the worst case over them."""

    @property
    def unbounded(self) -> float:
        """The worst case at the largest epsilon, which can turn any input grey."""
        return self.curves[WORST][-1].value

    def table(self, confidence: float) -> Table:
        """A row for each attack and epsilon, each with its own interval."""
        rows = []
        for name, measures in self.curves.items():
            for epsilon, measure in zip(self.epsilons, measures, strict=True):
                interval = measure.interval(confidence)
                rows.append((name, epsilon, measure.value, interval.low, interval.high))
        return Table(
            title=f"Accuracy against epsilon ({measure.samples} samples, "
            f"each interval at {confidence:g})",
            columns=("attack", "epsilon", "share still right", "from", "to"),
            rows=rows,
        )


def sweep(
    victim: Victim, samples: Samples, names: Sequence[str], budget: Budget, wanted: Sequence[float]
) -> Curves:
    """Attack a few samples with the white-box attacks of `names` at growing budgets.

    A larger budget contains the smaller: what an attack broke once stays broken for it.

    Args:
        wanted: further epsilons; by default a quarter to four times the budget's.
    """
    order = np.random.default_rng(budget.seed).permutation(len(samples))
    some = samples.take(order[:_SAMPLES])
    low, high = (side.astype(np.float64).ravel() for side in victim.limits)
    half = (high - low) / 2
    ends = {"linf": half.max(), "l2": np.linalg.norm(half), "l1": half.sum(), "l0": half.size}
    end = float(ends[budget.norm])
    wanted = wanted or [budget.epsilon * factor for factor in _FACTORS]
    epsilons = sorted({e for e in (*wanted, budget.epsilon) if e < end} | {end})
    white = [name for name in names if attacks.ATTACKS[name].kind == "white"]
    cheap = [name for name in white if attacks.ATTACKS[name].cost <= _DEAREST] or white
    clean = victim.held(some.inputs, some)
    held = {name: [clean, *_falling(name, victim, some, budget, clean, epsilons)] for name in cheap}
    held[WORST] = [np.minimum.reduce(column) for column in zip(*held.values(), strict=True)]
    return Curves(
        epsilons=[0.0, *epsilons],
        curves={n: [share(h, some, budget.seed) for h in column] for n, column in held.items()},
    )


def _falling(
    name: str,
    victim: Victim,
    samples: Samples,
    budget: Budget,
    held: Held,
    epsilons: Sequence[float],
) -> list[Held]:
    column = []
    for number, epsilon in enumerate(epsilons, start=1):
        held = held.copy()
        alive = np.flatnonzero(held > 0)
        if len(alive):
            part = samples.take(alive)
            within = replace(budget, epsilon=epsilon, steps=_STEPS)
            now = victim.held(attacks.run(name, victim, part, within), part)
            held[alive] = np.minimum(held[alive], now)
        column.append(held)
        tell("epsilon", number, len(epsilons), f"of the sweep by {name}")
    return column
