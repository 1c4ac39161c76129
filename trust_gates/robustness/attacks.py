"""The attacks, all ART's own, cheap ones first, with what each may spend."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trust_gates.errors import GateError
from trust_gates.matching import recalled_surely
from trust_gates.robustness.victim import Inputs, Victim, certainty
from trust_gates.samples import Boxes, Samples

Norm = Literal["linf", "l2"]
_BATCH = 64
_TOLERANCE = 1e-4
_ROW_QUERIES = 200
"""Rows have few features, a square often misses them all, and asking about rows is cheap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an attack may do to an input, and how hard it tries."""

    norm: Norm
    epsilon: float
    steps: int = 20
    """Gradient steps of PGD."""

    queries: int = 60
    """Iterations of Square, each asking the model about every surviving sample."""

    @property
    def art_norm(self) -> float:
        """ART's name of the norm."""
        return np.inf if self.norm == "linf" else 2


def run(name: str, victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    """The samples' inputs after the attack `name`, within the budget and the input range.

    Raises:
        GateError: the attack left the budget, so what it shows would be unfair to the model.
        ValueError: the attack does not work on such inputs.
    """
    attacked = np.asarray(ATTACKS[name](victim, samples, budget), dtype=np.float32)
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


def _fgsm(victim: Victim, samples: Samples, budget: Budget) -> Any:
    from art.attacks.evasion import FastGradientMethod

    attack = FastGradientMethod(
        victim.estimator, norm=budget.art_norm, eps=budget.epsilon, batch_size=_BATCH
    )
    return attack.generate(x=samples.inputs, y=victim.truth(samples))


def _pgd(victim: Victim, samples: Samples, budget: Budget) -> Any:
    from art.attacks.evasion import ProjectedGradientDescent

    attack = ProjectedGradientDescent(
        victim.estimator,
        norm=budget.art_norm,
        eps=budget.epsilon,
        eps_step=2.5 * budget.epsilon / budget.steps,
        max_iter=budget.steps,
        num_random_init=0 if victim.detection else 1,  # ART starts detectors at the input itself
        batch_size=_BATCH,
        verbose=False,
    )
    return attack.generate(x=samples.inputs, y=victim.truth(samples))


def _square(victim: Victim, samples: Samples, budget: Budget) -> Any:
    from art.attacks.evasion import SquareAttack

    from trust_gates.robustness.estimators import fold, unfold

    rows = samples.inputs.ndim == 2
    inputs = fold(samples.inputs) if rows else samples.inputs
    height, width = inputs.shape[2:]
    if budget.norm == "l2" and (height != width or height < 15):
        raise ValueError(
            f"got inputs of {height} x {width}, expected square images of at least 15 pixels "
            "for the attack square under l2; use norm linf"
        )
    options: dict[str, Any] = {}
    if victim.detection:
        options = _detector_aims(victim)
    attack = SquareAttack(
        victim.black_box,
        norm=budget.art_norm,
        eps=budget.epsilon,
        max_iter=max(budget.queries, _ROW_QUERIES) if rows else budget.queries,
        # ART places a square only where it fits with room: keep the largest below the side.
        p_init=min(0.8, (min(height, width) - 1) ** 2 / (height * width)),
        batch_size=_BATCH,
        verbose=False,
        **options,
    )
    # ART writes into its input, and clips the padding of folded rows too: both stay outside.
    attacked = attack.generate(x=inputs.copy(), y=victim.truth(samples))
    return unfold(attacked, samples.inputs.shape[1]) if rows else attacked


def _detector_aims(victim: Victim) -> dict[str, Any]:
    """ART's Square knows classifiers; these two functions are all it needs for a detector."""

    def loss(x: Inputs, y: NDArray[np.object_]) -> NDArray[np.float64]:
        claims = victim.black_box.predict(x)
        pairs = zip(claims, y, strict=True)
        return np.array([certainty(_boxes(claim), _boxes(true)) for claim, true in pairs])

    def lost(claims: NDArray[np.object_], y: NDArray[np.object_]) -> NDArray[np.bool_]:
        found = recalled_surely([_boxes(c) for c in claims], [_boxes(t) for t in y])
        return np.asarray(found == 0)

    return {"loss": loss, "adv_criterion": lost}


def _boxes(label: dict[str, Any]) -> Boxes:
    return Boxes(boxes=label["boxes"], labels=label["labels"], scores=label["scores"])


ATTACKS: dict[str, Callable[[Victim, Samples, Budget], Any]] = {
    "fgsm": _fgsm,
    "pgd": _pgd,
    "square": _square,
}
"""By name, the cheapest first."""

WHITE_BOX = ("fgsm", "pgd")
BLACK_BOX = ("square",)
