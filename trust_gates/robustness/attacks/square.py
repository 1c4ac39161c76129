"""Square, the black-box attack, by ART (Andriushchenko et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates.matching import recalled_surely
from trust_gates.robustness.attacks.interface import BATCH, Attack, Budget
from trust_gates.robustness.victim import Inputs, Victim, certainty
from trust_gates.samples import Boxes, Samples

_ROW_QUERIES = 200
"""Rows have few features, a square often misses them all, and asking about rows is cheap."""


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
        batch_size=BATCH,
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


SQUARE = Attack(name="square", kind="black", generate=_square)
