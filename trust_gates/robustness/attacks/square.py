"""Square, the black-box attack: native on classifiers, by ART on detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import recalled_surely
from trust_gates.robustness.attacks.attack import BATCH, Attack
from trust_gates.robustness.attacks.native import generator
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.victim import Inputs, Victim, certainty
from trust_gates.samples import Boxes, Samples

_QUERIES = 500
_DETECTOR_QUERIES = 60
"""A detector's answer costs far more than a classifier's."""


def _square(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    if victim.detection:
        return _by_art(victim, samples, budget)
    return generator("square:search", queries=_QUERIES)(victim, samples, budget)


def _by_art(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    from art.attacks.evasion import SquareAttack

    height, width = samples.inputs.shape[2:]
    if budget.norm == "l1":
        raise ValueError("got norm l1 for the attack square on a detector, expected linf or l2")
    if budget.norm == "l2" and (height != width or height < 15):
        raise ValueError(
            f"got inputs of {height} x {width}, expected square images of at least 15 pixels "
            "for the attack square on a detector under l2; use norm linf"
        )

    # ART's Square knows classifiers; these two functions are all it needs for a detector.
    def loss(x: Inputs, y: NDArray[np.object_]) -> NDArray[np.float64]:
        claims = victim.black_box.predict(x)
        pairs = zip(claims, y, strict=True)
        return np.array([certainty(_boxes(claim), _boxes(true)) for claim, true in pairs])

    def lost(claims: NDArray[np.object_], y: NDArray[np.object_]) -> NDArray[np.bool_]:
        found = recalled_surely([_boxes(c) for c in claims], [_boxes(t) for t in y])
        return np.asarray(found == 0)

    attack = SquareAttack(
        victim.black_box,
        norm=budget.art_norm,
        eps=budget.epsilon,
        max_iter=budget.queries or _DETECTOR_QUERIES,
        # ART places a square only where it fits with room: keep the largest below the side.
        p_init=min(0.8, (min(height, width) - 1) ** 2 / (height * width)),
        batch_size=BATCH,
        loss=loss,
        adv_criterion=lost,
        verbose=False,
    )
    # ART writes into its input.
    attacked: Inputs = attack.generate(x=samples.inputs.copy(), y=victim.truth(samples))
    return attacked


def _boxes(label: dict[str, Any]) -> Boxes:
    return Boxes(boxes=label["boxes"], labels=label["labels"], scores=label["scores"])


SQUARE = Attack(
    name="square",
    meaning="random squares, kept when the answer gets worse (Andriushchenko et al. 2020)",
    kind="black",
    cost=_QUERIES,
    generate=_square,
    effort=_QUERIES,
    detector_effort=_DETECTOR_QUERIES,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "detection", "regression"),
)
