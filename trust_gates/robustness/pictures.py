"""What the attacks did, to look at: accuracy against epsilon, and inputs before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.matching import SURE
from trust_gates.png import literal, png
from trust_gates.robustness import band
from trust_gates.robustness.ensemble import Attacked
from trust_gates.robustness.policy import Robustness
from trust_gates.robustness.sweep import WORST, Curves
from trust_gates.robustness.victim import Victim, totals
from trust_gates.samples import Boxes, Samples
from trust_gates.written import number

CAPTIONS = {
    "robustness-epsilon": (
        "What is left of the model as the attacker's budget epsilon grows, of the samples that the "
        "gate decided on: the thick line meets the policy's epsilon at the figure that was judged."
    ),
    "robustness-examples": "The samples that lost most: before the attack and after it.",
}

_SHOWN = 4
_MARKS = "sv^D*Pxd"
"""Attacks are told apart by these: the one colour is that of what the model is compared with."""


def drawn(
    victim: Victim,
    samples: Samples,
    attacked: Attacked,
    policy: Robustness,
    curves: Curves,
    *,
    name: str,
    confidence: float,
) -> dict[str, bytes]:
    """Every picture of what attacks did, by name; `name` is the figure that was judged."""
    shown = {
        "robustness-epsilon": curve(
            curves,
            chosen=policy.epsilon,
            norm=policy.norm,
            figure_name=name,
            confidence=confidence,
        )
    }
    # The samples that lost the most, so that a reviewer sees what an attack looks like.
    lost = attacked.clean - attacked.held
    worst = np.argsort(-lost, kind="stable")[:_SHOWN]
    worst = worst[lost[worst] > 0]
    if samples.inputs.ndim != 4 or not len(worst):
        return shown
    before, after = samples.inputs[worst], attacked.inputs[worst]
    boxes = None
    if samples.objects is not None:
        claims = victim.target.claims(before), victim.target.claims(after)
        boxes = list(zip(*claims, strict=True))
        total = totals(samples)[worst]
        held = zip(attacked.clean[worst], attacked.held[worst], total, strict=True)
        captions = [(f"found {c} of {t}", f"attacked: {h} of {t}") for c, h, t in held]
    else:
        names = [
            [samples.classes[k] for k in victim.target.logits(x).argmax(axis=1)]
            for x in (before, after)
        ]
        captions = [(a, f"attacked: {b}") for a, b in zip(*names, strict=True)]
    if policy.tolerance is not None:
        before, after = band.plain(before), band.plain(after)
    shown["robustness-examples"] = examples(
        before,
        after,
        captions,
        low=victim.target.low,
        high=victim.target.high,
        boxes=boxes,
        classes=samples.classes,
    )
    return shown


def curve(
    curves: Curves, *, chosen: float, norm: str, figure_name: str, confidence: float
) -> bytes:
    """A PNG of the share still right against epsilon, attack by attack, with the bounds of the
    worst case; the policy's epsilon is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    epsilons = list(curves.epsilons)
    bounds = [measure.interval(confidence) for measure in curves.curves[WORST]]
    axes.fill_between(
        epsilons,
        [b.low for b in bounds],
        [b.high for b in bounds],
        color=palette.MEASURED,
        alpha=0.15,
    )
    for index, (name, measures) in enumerate(curves.curves.items()):
        # The worst case lies under the others: where they meet it, both are seen.
        style: dict[str, Any] = {
            "marker": _MARKS[index % len(_MARKS)],
            "markersize": 4,
            "color": palette.BESIDE,
            "linestyle": "--",
            "linewidth": 1,
        }
        if name == WORST:
            style = {
                "marker": "o",
                "color": palette.MEASURED,
                "linewidth": 3,
                "alpha": 0.6,
                "zorder": 1,
            }
        axes.plot(epsilons, [measure.value for measure in measures], label=name, **style)
    axes.axvline(chosen, color="black", linestyle=":", label=f"policy: {number(chosen)}")
    axes.set(
        xlabel=f"epsilon ({norm})",
        ylabel=figure_name,
        ylim=(-0.03, 1.03),
        title=f"What is left, with the worst case's bounds at {number(confidence)}",
    )
    axes.set_xscale("symlog", linthresh=max(min((e for e in epsilons if e > 0), default=1), 1e-6))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png(figure)


def examples(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    captions: Sequence[tuple[str, str]],
    *,
    low: float,
    high: float,
    boxes: Sequence[tuple[Boxes, Boxes]] | None = None,
    classes: Sequence[str] = (),
) -> bytes:
    """A PNG with a column per example: the input, the attacked input, and the change.

    `before` and `after` are (n, C, H, W); `boxes` are the claims before and after.
    """
    from matplotlib.figure import Figure

    count = len(before)
    figure = Figure(figsize=(2.4 * count, 7.2), layout="constrained")
    grid = figure.subplots(3, count, squeeze=False)
    for column in range(count):
        change = after[column] - before[column]
        scale = np.abs(change).max() or 1.0
        shown = [
            (before[column] - low) / (high - low),
            (after[column] - low) / (high - low),
            change / scale / 2 + 0.5,
        ]
        titles = [*captions[column], f"change (largest {scale:.3f})"]
        for row in range(3):
            axes = grid[row][column]
            image = np.clip(shown[row].transpose(1, 2, 0), 0, 1)
            if image.shape[2] != 3:
                image = image[..., :1].repeat(3, axis=2)
            axes.imshow(image, interpolation="nearest")
            axes.set_title(literal(titles[row]), fontsize=8)
            axes.axis("off")
            if boxes is not None and row < 2:
                _outline(axes, boxes[column][row].above(SURE), classes)
    return png(figure)


def _outline(axes: Any, claims: Boxes, classes: Sequence[str]) -> None:
    """Each claim with its class in words; on a rim of white, to be seen by night as by day."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    for (x1, y1, x2, y2), label in zip(claims.boxes, claims.labels, strict=True):
        box = Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, lw=1.2)
        box.set(
            edgecolor=palette.MEASURED, path_effects=[withStroke(linewidth=2.4, foreground="w")]
        )
        axes.add_patch(box)
        name = axes.text(x1, y1 - 1, literal(classes[label]), color=palette.MEASURED, fontsize=6)
        name.set_path_effects([withStroke(linewidth=1.5, foreground="w")])
