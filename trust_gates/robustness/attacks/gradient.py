"""Attacks that follow the loss gradient: native on classifiers, by ART on detectors."""

from __future__ import annotations

from trust_gates.robustness.attacks.attack import BATCH, Attack
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples

_STEPS = 20
_REACH = 2.5
"""Steps that add up to this many times epsilon reach every corner of the ball."""


def _fgsm(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    return _climb(victim, samples, budget, steps=1, restarts=0)


def _bim(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    return _climb(victim, samples, budget, steps=budget.steps or _STEPS, restarts=0)


def _pgd(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    steps = budget.steps or _STEPS
    return _climb(victim, samples, budget, steps=steps, restarts=budget.restarts)


def _climb(
    victim: Victim, samples: Samples, budget: Budget, *, steps: int, restarts: int
) -> Inputs:
    step = budget.epsilon * (1 if steps == 1 else min(1, _REACH / steps))
    if victim.detection:
        return _by_art(victim, samples, budget, steps=steps, step=step)
    from trust_gates.robustness.native import pgd, problem

    def run(hunt: problem.Hunt) -> None:
        pgd.climb(hunt, steps=steps, step=step, restarts=restarts)

    return problem.attack(victim, samples, budget, run)


def _by_art(victim: Victim, samples: Samples, budget: Budget, *, steps: int, step: float) -> Inputs:
    """ART starts detectors at the input itself, so a restart would only repeat."""
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

    if steps == 1:
        attack = FastGradientMethod(
            victim.estimator, norm=budget.art_norm, eps=budget.epsilon, batch_size=BATCH
        )
    else:
        attack = ProjectedGradientDescent(
            victim.estimator,
            norm=budget.art_norm,
            eps=budget.epsilon,
            eps_step=step,
            max_iter=steps,
            batch_size=BATCH,
            verbose=False,
        )
    attacked: Inputs = attack.generate(x=samples.inputs, y=victim.told(samples))
    return attacked


FGSM = Attack(
    name="fgsm",
    meaning="one step of the full size along the loss gradient (Goodfellow et al. 2015)",
    kind="white",
    cost=3,
    generate=_fgsm,
    restrained=True,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "detection", "regression"),
)
BIM = Attack(
    name="bim",
    meaning="many small steps along the loss gradient (Kurakin et al. 2017)",
    kind="white",
    cost=3 * _STEPS,
    generate=_bim,
    effort=_STEPS,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "detection", "regression"),
)
PGD = Attack(
    name="pgd",
    meaning="many small steps along the loss gradient from a random start (Madry et al. 2018)",
    kind="white",
    cost=3 * _STEPS + 1,
    generate=_pgd,
    effort=_STEPS,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "detection", "regression"),
)
