"""FGSM, BIM and PGD: steps along the loss gradient, each pulled back into the budget.

Goodfellow et al. 2015; Kurakin et al. 2017; Madry et al. 2018.
"""

from __future__ import annotations

from torch import Tensor

from trust_gates.robustness.native import balls
from trust_gates.robustness.native.losses import cross_entropy, scaled_cross_entropy
from trust_gates.robustness.native.problem import Hunt, Problem


def climb(hunt: Hunt, *, steps: int, step: float, restarts: int = 0) -> None:
    """`steps` steps of norm `step`, from the clean inputs or from `restarts` random points.

    From the clean inputs it is FGSM or BIM to the letter; from random points, PGD is blind to the
    scale of the logits as well.
    """
    loss = scaled_cross_entropy if restarts else cross_entropy
    for _ in range(max(restarts, 1)):
        part = hunt.open
        if not len(part):
            return
        inputs = _start(part) if restarts else part.clean
        for _ in range(steps):
            logits, _, gradient = part.ascent(inputs, loss)
            right = hunt.sieve(inputs, logits)
            part, inputs, gradient = part.take(right), inputs[right], gradient[right]
            if not len(part):
                break
            change = inputs - part.clean
            move = balls.steepest(gradient, part.norm, step, part.low - change, part.high - change)
            if part.norm != "l1":
                # Of a box smaller than the ball, too, a step is only a part.
                most = step / part.epsilon * (part.high - part.low)
                move = move.clamp(-most, most)
            inputs = part.allowed(change + move)
        else:
            right = hunt.sieve(inputs, part.answers(inputs))
            hunt.keep(inputs[right])


def _start(part: Problem) -> Tensor:
    return part.allowed(part.epsilon * balls.random(part.clean, part.norm, part.generator))
