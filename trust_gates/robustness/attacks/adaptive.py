"""Attacks that need no tuning: the white-box members of AutoAttack, native."""

from __future__ import annotations

from trust_gates.robustness.attacks.attack import Attack
from trust_gates.robustness.attacks.native import native

_STEPS = 100
_TARGETED = 9
"""Targeted attacks aim at up to nine wrong classes."""

APGD_CE = Attack(
    name="apgd-ce",
    meaning="gradient steps of adapting size on the cross-entropy (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS,
    generate=native("apgd:maximize_cross_entropy", steps=_STEPS),
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
)
APGD_DLR = Attack(
    name="apgd-dlr",
    meaning="the same on a loss blind to the logits' scale (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS + 1,
    generate=native("apgd:maximize_dlr", steps=_STEPS),
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
)
APGD_T = Attack(
    name="apgd-t",
    meaning="the same towards each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED,
    generate=native("apgd:maximize_targeted", steps=_STEPS),
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
    targeted=True,
)
FAB_T = Attack(
    name="fab-t",
    meaning="the nearest input of each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED + 1,
    generate=native("fab:within_budget", steps=_STEPS),
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
    targeted=True,
)
