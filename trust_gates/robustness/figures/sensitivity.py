"""How steep is the loss around the samples?"""

from __future__ import annotations

import numpy as np

from trust_gates.robustness.figures.figure import Figure, Found, Scene
from trust_gates.robustness.gradients import loss_gradients
from trust_gates.statistics import mean, resample_weights


def _measure(scene: Scene) -> Found:
    """The mean l2 norm of the loss's gradient (Arpit et al. 2017, "A closer look at memorization
    in deep networks", section 4.2).

    Of each sample's own loss: ART's `loss_sensitivity` takes the gradient of the mean over all,
    and so shrinks with the number of samples.
    """
    gradients = loss_gradients(scene.victim, scene.samples).astype(np.float64)
    steepness = np.linalg.norm(gradients.reshape(len(gradients), -1), axis=1)
    weights = resample_weights(len(steepness), scene.budget.seed)
    return Found(measures={"loss_sensitivity": mean(steepness, weights)})


SENSITIVITY = Figure(
    names=("loss_sensitivity",),
    measure=_measure,
    norms=("linf", "l2", "l1", "l0"),
    of_slopes=True,
)
