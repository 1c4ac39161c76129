"""How much surer is the model of what it still gets right, without the attack?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.robustness import attacks
from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.robustness.victim import Inputs
from trust_gates.samples import Samples
from trust_gates.statistics import mean, missing, resample_weights

_NAME = "confidence_reduction"
_DEAREST = 400
"""Passes a sample: what is cheap enough is run again on the survivors."""


def _measure(scene: Scene) -> Found:
    """The mean fall of the right class's probability among samples that are right throughout.

    The gate's cheap white-box attacks run once more on the survivors, whose least sure answer
    counts; a sample that was broken has lost all, and is part of robust accuracy instead.
    """
    rows = np.flatnonzero(scene.attacked.held > 0)
    if not len(rows):
        return Found(measures={_NAME: missing("no sample survived the attacks")})
    part = scene.samples.take(rows)
    kinds = [attacks.ATTACKS[name] for name in scene.attacked.after]
    white = [attack for attack in kinds if attack.kind == "white"]
    cheap = [attack for attack in white if attack.cost <= _DEAREST] or white
    clean = least = _confidence(scene, part.inputs, part)
    for attack in cheap:
        attacked = attacks.run(attack.name, scene.victim, part, scene.budget)
        least = np.minimum(least, _confidence(scene, attacked, part))
    weights = resample_weights(len(rows), scene.budget.seed)
    return Found(measures={_NAME: mean(clean - least, weights)})


def _confidence(scene: Scene, inputs: Inputs, samples: Samples) -> NDArray[np.float64]:
    """(N,): the probability of each sample's right class."""
    from scipy.special import softmax

    chances = softmax(scene.victim.target.logits(inputs), axis=1)
    found: NDArray[np.float64] = chances[np.arange(len(samples)), np.asarray(samples.labels)]
    return found


CONFIDENCE = Figure(names=(_NAME,), measure=_measure, norms=("linf", "l2", "l1", "l0"))
