"""The attacks by name, cheap ones first, and how each is held to its budget."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.robustness.attacks.adaptive import APGD_CE, APGD_DLR, APGD_T, FAB_T
from trust_gates.robustness.attacks.attack import Attack, Kind
from trust_gates.robustness.attacks.classic import CLASSIC
from trust_gates.robustness.attacks.decision import HOPSKIPJUMP, SPARSE_RS
from trust_gates.robustness.attacks.gradient import BIM, FGSM, PGD
from trust_gates.robustness.attacks.square import SQUARE
from trust_gates.robustness.budget import Budget, Norm
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples, Task
from trust_gates.wording import alike

_TOLERANCE = 1e-4


def _by_cost(attacks: Iterable[Attack]) -> dict[str, Attack]:
    return {a.name: a for a in sorted(attacks, key=lambda a: (a.kind == "black", a.cost))}


ATTACKS: dict[str, Attack] = _by_cost(
    (FGSM, BIM, PGD, APGD_CE, APGD_DLR, APGD_T, FAB_T, *CLASSIC, SQUARE, SPARSE_RS, HOPSKIPJUMP),
)
"""By name: white-box ones first, and of each kind the cheapest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Attacks under one name, each with the effort that its authors made the standard."""

    attacks: tuple[str, ...]
    steps: int
    queries: int


ENSEMBLES: Mapping[str, Ensemble] = {
    # Croce & Hein 2020, the version "standard".
    "autoattack": Ensemble(
        attacks=("apgd-ce", "apgd-t", "fab-t", "square"), steps=100, queries=5000
    ),
}


def members(name: str) -> tuple[str, ...]:
    """The attacks that a name stands for: those of an ensemble, or itself."""
    return ENSEMBLES[name].attacks if name in ENSEMBLES else (name,)


def chosen(names: Iterable[str], norm: Norm, task: Task | None = None) -> list[str]:
    """The attacks that `names`, ensembles among them, stand for, in the order they run.

    Raises:
        ValueError: a name is unknown, does not serve the norm or the task, or all are of one kind.
    """
    names = list(names)
    known = {*ATTACKS, *ENSEMBLES}
    if unknown := [name for name in names if name not in known]:
        near = alike(unknown[0], known)
        raise ValueError(f"got attacks {unknown}, expected some of {sorted(known)}{near}")
    wanted = {member for name in names for member in members(name)}
    ordered = [name for name in ATTACKS if name in wanted]
    serving = [a.name for a in ATTACKS.values() if norm in a.norms and task in (None, *a.tasks)]
    if strangers := [name for name in ordered if name not in serving]:
        raise ValueError(
            f"got attacks {strangers} for {task or 'a model'} under the norm {norm}, "
            f"expected some of {serving}"
        )
    for kind in ("white", "black"):
        if not any(ATTACKS[name].kind == kind for name in ordered):
            raise ValueError(
                f"got attacks {names}, expected a {kind}-box one of {of_kind(kind)} too: "
                "gradient masking shows only when both kinds are compared"
            )
    return ordered


def of_kind(kind: Kind) -> list[str]:
    """The names of all attacks of a kind, the cheapest first."""
    return [attack.name for attack in ATTACKS.values() if attack.kind == kind]


def run(name: str, victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    """The samples' inputs after the attack `name`, within the budget and the attacker's reach.

    Raises:
        GateError: the attack left the budget, so what it shows would be unfair to the model.
        ValueError: the attack does not work on such inputs.
    """
    with seeded(budget.seed):
        attacked = np.asarray(ATTACKS[name].generate(victim, samples, budget), dtype=np.float32)
    lower, upper = victim.room(samples.inputs)
    allowed = budget.epsilon * (1 + _TOLERANCE) + 1e-6
    # Not every attack of ART's knows of limits: pulling back only makes the change smaller.
    inside = attacked.clip(lower, upper)
    within = (np.abs(attacked - inside) <= 1e-6 + np.spacing(np.abs(inside))).all()
    within |= victim.target.reach is not None
    attacked = inside
    sizes = _sizes(samples.inputs, attacked, budget)
    if ATTACKS[name].minimal:
        far = sizes > allowed
        attacked[far], sizes[far] = samples.inputs[far], 0.0
    size = sizes.max(initial=0.0)
    if not (size <= allowed and within):
        low, high = victim.target.low, victim.target.high
        raise GateError(
            f"{name} changed an input by {size:.6f} ({budget.norm}) or beyond [{low}, {high}], "
            f"expected at most {budget.epsilon:.6f}"
        )
    return attacked


def noise(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    """Random changes of the full size: what an attack must beat to be one."""
    generator = np.random.default_rng(budget.seed)
    lower, upper = victim.room(samples.inputs)
    signs = generator.choice([-1.0, 1.0], size=samples.inputs.shape) * (upper > lower)
    if budget.norm == "l0":
        return _few(samples.inputs, np.where(signs > 0, upper, lower), budget, generator)
    if budget.norm != "linf":
        signs /= _norms(signs, budget).reshape(-1, *[1] * (signs.ndim - 1))
    return np.clip(samples.inputs + budget.epsilon * signs, lower, upper).astype(np.float32)


def _few(inputs: Inputs, ends: Inputs, budget: Budget, generator: np.random.Generator) -> Inputs:
    """As many random values as the budget allows, each at an end of its range."""
    flat = generator.random(inputs.shape).reshape(len(inputs), -1)
    rank = flat.argsort(axis=1).argsort(axis=1).reshape(inputs.shape)
    return np.where(rank < int(budget.epsilon), ends, inputs).astype(np.float32)


def _sizes(inputs: Inputs, attacked: Inputs, budget: Budget) -> NDArray[np.float64]:
    """(N,): how far the inputs moved, but for what float32 cannot tell apart at each value."""
    changes = np.abs(attacked.astype(np.float64) - inputs)
    if budget.norm != "l0":
        changes -= np.spacing(np.maximum(np.abs(attacked), np.abs(inputs)))
    return _norms(changes.clip(min=0), budget)


def _norms(changes: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    flat = changes.reshape(len(changes), math.prod(changes.shape[1:]))
    norms: NDArray[np.float64] = np.linalg.norm(flat, ord=budget.art_norm, axis=1)
    return norms


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
