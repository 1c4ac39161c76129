"""Attacks that need no tuning: the white-box members of AutoAttack, native."""

from __future__ import annotations

from trust_gates.robustness.attacks.native import native

_STEPS = 100
_TARGETED = 9
"""Targeted attacks aim at up to nine wrong classes."""

APGD_CE = native(
    name="apgd-ce",
    meaning="gradient steps of adapting size on the cross-entropy (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS,
    run="apgd:maximize_cross_entropy",
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "regression"),
)
APGD_DLR = native(
    name="apgd-dlr",
    meaning="the same on a loss blind to the logits' scale (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS + 1,
    run="apgd:maximize_dlr",
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
)
APGD_T = native(
    name="apgd-t",
    meaning="the same towards each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED,
    run="apgd:maximize_targeted",
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "regression"),
    targeted=True,
)
FAB_T = native(
    name="fab-t",
    meaning="the nearest input of each likely wrong class in turn (Croce & Hein 2020)",
    kind="white",
    cost=3 * _STEPS * _TARGETED + 1,
    run="fab:within_budget",
    steps=_STEPS,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "regression"),
    targeted=True,
)
