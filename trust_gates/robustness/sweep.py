"""How does what is left fall as the attacker's budget grows? One curve for each attack.

All of it is of the samples that the gate decided on: at the policy's epsilon the worst case is the
figure that was judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trust_gates.progress import tell
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.ensemble import Attacked, Held, ratio, share
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples
from trust_gates.statistics import Measure
from trust_gates.verdict import Table
from trust_gates.written import number

_STEPS = 10
_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_DEAREST = 400
"""Passes a sample at its standard effort: attacks dearer than that would cost more than all
else, once for every epsilon."""

WORST = "worst case"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """What each attack left of the same samples at each epsilon, the first of which is 0."""

    epsilons: Sequence[float]
    curves: Mapping[str, Sequence[Measure]]
    """By white-box attack alone; the last is the worst case, of all attacks at the policy's
    epsilon and of these at the others."""

    unbounded: float
    """What every white-box attack left at the largest epsilon, which can turn any input grey."""

    def table(self, confidence: float) -> Table:
        """A row for each attack and epsilon, each with its own interval."""
        rows = []
        for name, measures in self.curves.items():
            for epsilon, measure in zip(self.epsilons, measures, strict=True):
                interval = measure.interval(confidence)
                rows.append((name, epsilon, measure.value, interval.low, interval.high))
        return Table(
            title=f"Accuracy against epsilon ({measure.samples} samples, "
            f"each interval at {number(confidence)})",
            columns=("attack", "epsilon", "share still right", "from", "to"),
            rows=rows,
        )


def sweep(
    victim: Victim,
    samples: Samples,
    names: Sequence[str],
    budget: Budget,
    wanted: Sequence[float],
    *,
    attacked: Attacked,
    judged: Measure,
) -> Curves:
    """Attack the samples with the white-box attacks of `names` at growing budgets.

    A larger budget contains the smaller: what an attack broke once stays broken for it, and what
    all attacks left whole at the policy's epsilon is not attacked again at a smaller one.

    Args:
        wanted: further epsilons; by default a quarter to four times the budget's.
        attacked: the same samples after all attacks of the policy, within `budget`.
        judged: the share that it left.
    """
    low, high = (side.astype(np.float64).ravel() for side in victim.limits)
    half = (high - low) / 2
    ends = {"linf": half.max(), "l2": np.linalg.norm(half), "l1": half.sum(), "l0": half.size}
    end = float(ends[budget.norm])
    wanted = wanted or [budget.epsilon * factor for factor in _FACTORS]
    epsilons = sorted({e for e in (*wanted, budget.epsilon) if e < end} | {end})
    chosen = min(budget.epsilon, end)
    white = [name for name in names if attacks.ATTACKS[name].kind == "white"]
    cheap = [name for name in white if attacks.ATTACKS[name].cost <= _DEAREST] or white

    held = {name: _falling(name, victim, samples, budget, attacked, epsilons) for name in cheap}
    least = [np.minimum.reduce(column) for column in zip(*held.values(), strict=True)]
    # In the order of the budgets: before the policy's, at it, and beyond it.
    worst = [
        np.maximum(left, attacked.held) if epsilon < chosen
        else np.minimum(left, attacked.held) if epsilon > chosen
        else attacked.held
        for epsilon, left in zip(epsilons, least, strict=True)
    ]  # fmt: skip
    curves = {
        name: [share(left, samples, budget.seed) for left in (attacked.clean, *column)]
        for name, column in {**held, WORST: worst}.items()
    }
    curves[WORST][1 + epsilons.index(chosen)] = judged
    return Curves(
        epsilons=[0.0, *epsilons], curves=curves, unbounded=ratio(least[-1], attacked.total)
    )


def _falling(
    name: str,
    victim: Victim,
    samples: Samples,
    budget: Budget,
    attacked: Attacked,
    epsilons: Sequence[float],
) -> list[Held]:
    """What the attack alone leaves at each budget."""
    hurt = attacked.held < attacked.clean
    held, column = attacked.clean, []
    for count, epsilon in enumerate(epsilons, start=1):
        held = held.copy()
        alive = np.flatnonzero((held > 0) & (hurt | (epsilon > budget.epsilon)))
        if len(alive):
            part = samples.take(alive)
            within = replace(budget, epsilon=epsilon, steps=_STEPS)
            now = victim.held(attacks.run(name, victim, part, within), part)
            held[alive] = np.minimum(held[alive], now)
        column.append(held)
        tell("epsilon", count, len(epsilons), f"of the sweep by {name}")
    return column
