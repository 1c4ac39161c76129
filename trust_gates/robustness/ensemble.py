"""Attack with several attacks: cheap ones first, and only what survives meets the dear ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.progress import tell
from trust_gates.robustness import attacks
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.victim import Inputs, Victim, totals
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, proportion, resample_weights, resampled
from trust_gates.verdict import Table

Held = NDArray[np.int64]
"""(N,): how much of each sample is still right, at most its `totals`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attacked:
    """The worst that the attacks did to each sample, and what was left after each attack."""

    inputs: Inputs
    total: Held
    """The most that could be right."""

    clean: Held
    after: Mapping[str, Held]
    """By attack, in the order they ran: after it and all before it."""

    spared: bool = False
    """Whether some samples were spared the dearer attacks: what was left of them was enough."""

    @property
    def held(self) -> Held:
        """What is left at the end."""
        return list(self.after.values())[-1]

    def left(self, name: str) -> float:
        """The share left after the attack `name` and all before it; NaN without any object."""
        return ratio(self.after[name], self.total)

    def table(self, weak: Mapping[str, float]) -> Table:
        """A row for each attack; `weak` is the share that each breaks of a weak model."""
        rows = []
        for name in self.after:
            one = attacks.ATTACKS[name]
            rows.append((name, one.kind, one.meaning, self.left(name), weak[name]))
        return Table(
            title="Attacks, in the order they ran: each met only what the ones before had left",
            columns=("attack", "box", "what it does", "left after it", "broken of a weak model"),
            rows=rows,
        )

    @classmethod
    def joined(cls, parts: Sequence[Attacked]) -> Attacked:
        """Batches that the same attacks ran on, as one."""
        return cls(
            inputs=np.concatenate([part.inputs for part in parts]),
            total=np.concatenate([part.total for part in parts]),
            clean=np.concatenate([part.clean for part in parts]),
            after={
                name: np.concatenate([part.after[name] for part in parts])
                for name in parts[0].after
            },
            spared=any(part.spared for part in parts),
        )


def attack(
    victim: Victim,
    samples: Samples,
    names: Sequence[str],
    budget: Budget,
    enough: Callable[[Held], bool] = lambda held: False,
) -> Attacked:
    """Run the attacks in the order of `names`; what one breaks wholly, the later ones skip.

    Args:
        enough: told what is left after an attack, whether the later ones can be spared.

    Raises:
        GateError: an attack left its budget.
        ValueError: an attack does not work on such inputs.
    """
    clean = victim.held(samples.inputs, samples)
    held, worst = clean.copy(), samples.inputs.copy()
    after: dict[str, Held] = {}
    spared = False
    for number, name in enumerate(names, start=1):
        spared = spared or (bool(after) and enough(held))
        alive = np.flatnonzero(held > 0)
        if len(alive) and not spared:
            part = samples.take(alive)
            attacked = attacks.run(name, victim, part, budget)
            now = victim.held(attacked, part)
            better = now < held[alive]
            worst[alive[better]] = attacked[better]
            held[alive[better]] = now[better]
        after[name] = held.copy()
        standing = f"{int((held > 0).sum())} of {len(samples)} samples stand"
        tell("attack", number, len(names), f"{name}: {standing}")
    return Attacked(inputs=worst, total=totals(samples), clean=clean, after=after, spared=spared)


def ratio(held: Held, total: Held) -> float:
    """The share of everything there was to get right; NaN where there was nothing."""
    return float(held.sum() / total.sum()) if total.sum() else float("nan")


def share(held: Held, samples: Samples, seed: int) -> Measure:
    """The same with its interval: exact for classes; objects of one image stand or fall
    together, so there images are resampled."""
    if not samples.detection:
        return proportion(int(held.sum()), len(samples))
    total, weights = totals(samples), resample_weights(len(samples), seed)
    with np.errstate(invalid="ignore"):
        draws = (weights @ held) / (weights @ total)
    return resampled(ratio(held, total), len(samples), draws)
