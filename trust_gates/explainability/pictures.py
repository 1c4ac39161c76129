"""Attributions to look at: maps beside their images, bars for features, deletion curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trust_gates import palette
from trust_gates.explainability.explained import Explained
from trust_gates.explainability.faithfulness import Curves
from trust_gates.explainability.features import Feature, largest
from trust_gates.png import literal, png
from trust_gates.written import number

SHOWN = 4
"""How many single decisions a picture shows."""

CAPTIONS = {
    "explainability-faithfulness": (
        "How certain the model stays while parts of the input are taken out, and becomes while "
        "they are put back: in the attribution's order, and in a random one."
    ),
    "explainability-maps": (
        "Inputs, and what speaks for the decision (purple) and against it (brown)."
    ),
    "explainability-features": (
        "Each feature's share of the attribution; protected attributes and proxies are hatched."
    ),
    "explainability-samples": (
        "Single decisions: what speaks for the class that was decided for (purple, to the right) "
        "and against it (brown, to the left)."
    ),
}


def drawn(
    explained: Explained, measured: Curves, features: Sequence[Feature], confidence: float
) -> dict[str, bytes]:
    """Every picture of the gate, by name."""
    subject, space = explained.subject, explained.space
    shown = subject.take(subject.numbers[:SHOWN])
    some = explained.attributions[: len(shown)]
    if shown.told is None:
        titles = [explained.samples.classes[label] for label in shown.labels]
    else:
        titles = [
            f"{number(float(told), 4)}, {'above' if told > usual else 'below'} {number(usual, 4)}"
            for told, usual in shown.told.tolist()
        ]
    found = {"explainability-faithfulness": curves(measured)}
    if subject.inputs.ndim == 2:
        if space is None:
            names = [
                [
                    f"{one.name} = {number(value, 3)}"
                    for one, value in zip(features, row, strict=True)
                ]
                for row in shown.inputs
            ]
        else:
            some = explained.relevance[: len(shown)]
            some = some[:, : np.flatnonzero(some.any(axis=0)).max(initial=0) + 1]
            places = space.tokens(shown.inputs)[:, : some.shape[1]]
            names = [[space.word(int(token)) for token in row] for row in places]
        found["explainability-features"] = shares(
            largest(features, words=space is not None), confidence
        )
        found["explainability-samples"] = bars(names, some, titles)
    else:
        low, high = subject.target.low, subject.target.high
        images = (shown.inputs - low) / (high - low)
        found["explainability-maps"] = maps(images, some, titles, shown.boxes)
    return found


def curves(measured: Curves) -> bytes:
    """A PNG of mean certainty against the share of parts taken out, and put back."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title, own, random in (
        (left, "taken out", measured.deletion, measured.random_deletion),
        (right, "put back", measured.insertion, measured.random_insertion),
    ):
        axes.plot(
            measured.taken,
            own.mean(axis=0),
            marker="o",
            color=palette.MEASURED,
            label="attribution",
        )
        axes.plot(
            measured.taken,
            random.mean(axis=0),
            marker="s",
            ls="--",
            color=palette.BESIDE,
            label="random",
        )
        axes.set(xlabel=f"share of the input {title}", ylim=(-0.03, 1.03))
        axes.grid(alpha=0.3)
        axes.legend()
    left.set_ylabel("certainty")
    return png(figure)


def maps(
    inputs: NDArray[np.float32],
    attributions: NDArray[np.float64],
    titles: Sequence[str],
    boxes: NDArray[np.float64] | None,
) -> bytes:
    """A PNG with a column per image (n, C, H, W) from 0 to 1: it, and its attribution map."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(2.4 * len(inputs), 5.0), layout="constrained")
    grid = figure.subplots(2, len(inputs), squeeze=False)
    for column, (image, attribution) in enumerate(zip(inputs, attributions, strict=True)):
        shown = np.clip(image, 0, 1).transpose(1, 2, 0)
        grid[0][column].imshow(shown if shown.shape[2] == 3 else shown[..., 0], cmap="gray")
        grid[0][column].set_title(literal(titles[column]), fontsize=9)
        total = attribution.sum(axis=0)
        # One pixel far above the rest would leave the others white.
        reach = np.quantile(np.abs(total), 0.995) or 1.0
        grid[1][column].imshow(total, cmap=palette.two_sided(), vmin=-reach, vmax=reach)
        for axes in grid[:, column]:
            axes.axis("off")
            if boxes is not None:
                x1, y1, x2, y2 = boxes[column]
                axes.add_patch(
                    Rectangle(
                        (x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, ec="black", ls="--"
                    )
                )
    return png(figure)


def shares(features: Sequence[Feature], confidence: float) -> bytes:
    """A PNG with each feature's share of the attribution and its interval, the largest on top."""
    from matplotlib.figure import Figure

    ordered = sorted(features, key=lambda feature: feature.share.value)
    figure = Figure(figsize=(6.5, 0.32 * len(ordered) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    for height, feature in enumerate(ordered):
        interval = feature.share.interval(confidence)
        axes.barh(
            height,
            feature.share.value,
            facecolor=palette.MEASURED,
            edgecolor="white",
            hatch=palette.HATCH if feature.counted else None,
        )
        axes.plot([interval.low, interval.high], [height, height], color="black", lw=1.5)
    axes.set_yticks(range(len(ordered)), [literal(one.name) for one in ordered])
    axes.set(xlabel="share of the attribution", xlim=(0, None))
    return png(figure)


def bars(
    names: Sequence[Sequence[str]], attributions: NDArray[np.float64], titles: Sequence[str]
) -> bytes:
    """A PNG with a panel per decision: each feature's name, and what it speaks for."""
    from matplotlib.figure import Figure

    count, height = len(names), 0.3 * len(names[0]) + 1.0
    figure = Figure(figsize=(3.0 * count, height), layout="constrained")
    for axes, labels, attribution, title in zip(
        figure.subplots(1, count, squeeze=False)[0], names, attributions, titles, strict=True
    ):
        colors = [palette.FOR if value > 0 else palette.AGAINST for value in attribution]
        axes.barh(range(len(labels)), attribution, color=colors)
        axes.set_yticks(range(len(labels)), [*map(literal, labels)], fontsize=7)
        axes.axvline(0, color="black", lw=0.8)
        axes.invert_yaxis()
        axes.set_title(literal(title), fontsize=9)
    return png(figure)
