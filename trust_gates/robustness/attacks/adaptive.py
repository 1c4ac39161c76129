"""Attacks that need no tuning: the white-box members of AutoAttack, native."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from trust_gates.robustness.attacks.interface import Attack, Budget
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples

_STEPS = 100
_TARGETED = 9
"""Targeted attacks aim at up to nine wrong classes."""

_Run = Callable[..., None]


def _generate(imported: Callable[[], _Run]) -> Callable[[Victim, Samples, Budget], Inputs]:
    """An attack that `imported` fetches when it is first needed: it brings torch."""

    def generate(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
        from trust_gates.robustness.native.problem import attack

        steps = budget.steps or _STEPS
        run = partial(imported(), steps=steps, restarts=budget.restarts)
        return attack(victim, samples, budget, run)

    return generate


def _apgd_ce() -> _Run:
    from trust_gates.robustness.native import apgd, losses

    return partial(apgd.maximize, loss=losses.cross_entropy)


def _apgd_dlr() -> _Run:
    from trust_gates.robustness.native import apgd, losses

    return partial(apgd.maximize, loss=losses.dlr)


def _apgd_t() -> _Run:
    from trust_gates.robustness.native import apgd

    return apgd.maximize_targeted


def _fab_t() -> _Run:
    from trust_gates.robustness.native import fab

    return fab.within_budget


APGD_CE = Attack(
    name="apgd-ce",
    meaning="gradient steps of adapting size on the cross-entropy (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS,
    generate=_generate(_apgd_ce),
    norms=("linf", "l2", "l1"),
)
APGD_DLR = Attack(
    name="apgd-dlr",
    meaning="the same on a loss blind to the logits' scale (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS + 1,
    generate=_generate(_apgd_dlr),
    norms=("linf", "l2", "l1"),
)
APGD_T = Attack(
    name="apgd-t",
    meaning="the same towards each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED,
    generate=_generate(_apgd_t),
    norms=("linf", "l2", "l1"),
    targeted=True,
)
FAB_T = Attack(
    name="fab-t",
    meaning="the nearest input of each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED + 1,
    generate=_generate(_fab_t),
    norms=("linf", "l2", "l1"),
    targeted=True,
)
