"""Attacks of the older literature, native: the nearest wrong input, few values, one for all."""

from __future__ import annotations

from trust_gates.robustness.attacks.native import native

VIRTUAL = native(
    name="vat",
    meaning="where the model's answer changes the most, whatever the label (Miyato et al. 2016)",
    kind="white",
    cost=3 * 10,
    run="virtual:diverge",
    steps=10,
    norms=("linf", "l2", "l1"),
    restrained=True,
)
UNIVERSAL = native(
    name="universal",
    meaning="one change for all inputs of a batch (Moosavi-Dezfooli et al. 2017)",
    kind="white",
    cost=3 * 50,
    run="universal:share",
    steps=50,
    norms=("linf", "l2", "l1"),
    restrained=True,
    breaks=0.45,  # one change cannot push both of two classes over the border between them
)
NEWTONFOOL = native(
    name="newtonfool",
    meaning="Newton steps on the right class's probability (Jang et al. 2017)",
    kind="white",
    cost=3 * 100 + 2,
    run="newtonfool:descend",
    steps=100,
    norms=("l2",),
    minimal=True,
)
DEEPFOOL = native(
    name="deepfool",
    meaning="steps onto the nearest border of a linearised model (Moosavi-Dezfooli et al. 2016)",
    kind="white",
    cost=20 * 50,
    run="deepfool:cross",
    steps=50,
    norms=("linf", "l2", "l1"),
    tasks=("classification", "regression"),
    minimal=True,
)
CARLINI = native(
    name="cw",
    meaning="size of the change against lead of a wrong class, by Adam (Carlini & Wagner 2017)",
    kind="white",
    cost=4 * 3 * 100,
    run="carlini:minimize",
    steps=100,
    norms=("linf", "l2"),
    tasks=("classification", "regression"),
)
JSMA = native(
    name="jsma",
    meaning="the most salient values, one after another (Papernot et al. 2016)",
    kind="white",
    cost=9 * 5 * 100,
    run="jsma:climb",
    steps=100,
    norms=("l0",),
    targeted=True,
)
CLASSIC = (VIRTUAL, UNIVERSAL, NEWTONFOOL, DEEPFOOL, CARLINI, JSMA)
