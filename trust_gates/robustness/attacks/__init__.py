"""The attacks by name, cheap ones first, and how each is held to its budget."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from trust_gates.errors import GateError
from trust_gates.robustness.attacks.gradient import FGSM, PGD
from trust_gates.robustness.attacks.interface import Attack, Budget, Kind
from trust_gates.robustness.attacks.square import SQUARE
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples

_TOLERANCE = 1e-4

ATTACKS: dict[str, Attack] = {attack.name: attack for attack in (FGSM, PGD, SQUARE)}
"""By name, the cheapest first."""


def of_kind(kind: Kind) -> list[str]:
    """The names of all attacks of a kind, the cheapest first."""
    return [attack.name for attack in ATTACKS.values() if attack.kind == kind]


def run(name: str, victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    """The samples' inputs after the attack `name`, within the budget and the input range.

    Raises:
        GateError: the attack left the budget, so what it shows would be unfair to the model.
        ValueError: the attack does not work on such inputs.
    """
    attacked = np.asarray(ATTACKS[name].generate(victim, samples, budget), dtype=np.float32)
    change = (attacked.astype(np.float64) - samples.inputs).reshape(len(samples), -1)
    size = np.linalg.norm(change, ord=budget.art_norm, axis=1).max(initial=0.0)
    low, high = victim.target.low, victim.target.high
    within = attacked.min(initial=low) >= low - 1e-6 and attacked.max(initial=high) <= high + 1e-6
    if not (size <= budget.epsilon * (1 + _TOLERANCE) + 1e-6 and within):
        raise GateError(
            f"{name} changed an input by {size:.6f} ({budget.norm}) or beyond [{low}, {high}], "
            f"expected at most {budget.epsilon:.6f}"
        )
    return attacked


def noise(samples: Samples, budget: Budget, low: float, high: float, seed: int) -> Inputs:
    """Random changes of the full size: what an attack must beat to be one."""
    generator = np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], size=samples.inputs.shape)
    if budget.norm == "l2":
        signs /= np.sqrt(signs[0].size)
    return np.clip(samples.inputs + budget.epsilon * signs, low, high).astype(np.float32)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """ART draws from the global generators: seed them, and give them back as they were."""
    states = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
