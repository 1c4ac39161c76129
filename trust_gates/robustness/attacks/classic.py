"""Attacks of the older literature, native: the nearest wrong input, few values, one for all."""

from __future__ import annotations

from collections.abc import Callable

from trust_gates.robustness.attacks.adaptive import native
from trust_gates.robustness.attacks.interface import Attack

_Run = Callable[..., None]


def _deepfool() -> _Run:
    from trust_gates.robustness.native import deepfool

    return deepfool.cross


def _newtonfool() -> _Run:
    from trust_gates.robustness.native import newtonfool

    return newtonfool.descend


def _carlini() -> _Run:
    from trust_gates.robustness.native import carlini

    return carlini.minimize


def _universal() -> _Run:
    from trust_gates.robustness.native import universal

    return universal.share


def _virtual() -> _Run:
    from trust_gates.robustness.native import virtual

    return virtual.diverge


def _jsma() -> _Run:
    from trust_gates.robustness.native import jsma

    return jsma.climb


VIRTUAL = Attack(
    name="vat",
    meaning="where the model's answer changes the most, whatever the label (Miyato et al. 2016)",
    kind="white",
    cost=3 * 10,
    generate=native(_virtual, 10),
    norms=("linf", "l2", "l1"),
    restrained=True,
)
UNIVERSAL = Attack(
    name="universal",
    meaning="one change for all inputs of a batch (Moosavi-Dezfooli et al. 2017)",
    kind="white",
    cost=3 * 50,
    generate=native(_universal, 50),
    norms=("linf", "l2", "l1"),
    restrained=True,
    breaks=0.45,  # one change cannot push both of two classes over the border between them
)
NEWTONFOOL = Attack(
    name="newtonfool",
    meaning="Newton steps on the right class's probability (Jang et al. 2017)",
    kind="white",
    cost=3 * 100 + 2,
    generate=native(_newtonfool, 100),
    norms=("l2",),
    minimal=True,
)
DEEPFOOL = Attack(
    name="deepfool",
    meaning="steps onto the nearest border of a linearised model (Moosavi-Dezfooli et al. 2016)",
    kind="white",
    cost=20 * 50,
    generate=native(_deepfool, 50),
    norms=("linf", "l2", "l1"),
    minimal=True,
)
CARLINI = Attack(
    name="cw",
    meaning="size of the change against lead of a wrong class, by Adam (Carlini & Wagner 2017)",
    kind="white",
    cost=4 * 3 * 100,
    generate=native(_carlini, 100),
    norms=("linf", "l2"),
)
JSMA = Attack(
    name="jsma",
    meaning="the most salient values, one after another (Papernot et al. 2016)",
    kind="white",
    cost=9 * 5 * 100,
    generate=native(_jsma, 100),
    norms=("l0",),
    targeted=True,
)
CLASSIC = (VIRTUAL, UNIVERSAL, NEWTONFOOL, DEEPFOOL, CARLINI, JSMA)
