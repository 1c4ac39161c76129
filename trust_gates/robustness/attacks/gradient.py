"""Attacks that follow the loss gradient, by ART."""

from __future__ import annotations

from typing import Any

from trust_gates.robustness.attacks.interface import BATCH, Attack, Budget
from trust_gates.robustness.victim import Victim
from trust_gates.samples import Samples


def _fgsm(victim: Victim, samples: Samples, budget: Budget) -> Any:
    from art.attacks.evasion import FastGradientMethod

    attack = FastGradientMethod(
        victim.estimator, norm=budget.art_norm, eps=budget.epsilon, batch_size=BATCH
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
        batch_size=BATCH,
        verbose=False,
    )
    return attack.generate(x=samples.inputs, y=victim.truth(samples))


FGSM = Attack(name="fgsm", kind="white", generate=_fgsm)
PGD = Attack(name="pgd", kind="white", generate=_pgd)
