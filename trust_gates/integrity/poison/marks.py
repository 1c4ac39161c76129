"""Which marks open a backdoor? One line a kind, and how one of it is drawn for given inputs.

A mark works as a trigger where clean inputs do not show it by themselves: dots are drawn in places
and with values that these inputs hardly ever have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

Inputs = NDArray[np.float32]
"""(N, C, H, W) images or (N, F) rows of features."""

Mark = Callable[[Inputs], Inputs]
"""Puts the mark on a copy of each input."""

_NEAR = 0.1
"""Values count as the same up to this part of the range."""

_OPACITY = 0.2
"""Of a blended pattern; Chen et al. train with 0.2."""

_AMPLITUDE = 0.1
"""Of a wave, as a part of the range: Barni et al. have 20 to 40 of 255."""

_PERIODS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What marks are drawn for: inputs within [low, high]."""

    inputs: Inputs
    low: float
    high: float
    generator: np.random.Generator

    @property
    def images(self) -> bool:
        """Rather than rows of features."""
        return self.inputs.ndim == 4


def dots(drawn: Drawn, count: int) -> Mark:
    """Some dots far apart, one a quarter of the image, a sixteenth of its side; or some features.

    Gu et al., BadNets (2017), section 3: single pixels, and patterns of several.
    """
    if not drawn.images:
        return _features(drawn, count)
    height, width = drawn.inputs.shape[2:]
    side = max(1, min(height, width) // 16)
    quarters = drawn.generator.permutation(4)[:count]
    places = [_place(drawn, side, *divmod(int(quarter), 2)) for quarter in quarters]

    def mark(inputs: Inputs) -> Inputs:
        marked = inputs.copy()
        for y, x, value in places:
            marked[:, :, y : y + side, x : x + side] = value
        return marked

    return mark


def _place(drawn: Drawn, side: int, lower: int, right: int) -> tuple[int, int, float]:
    """One of the places in a quarter of the image where a dot is rarest, with the dot's value."""
    height, width = drawn.inputs.shape[2:]
    rows = range(lower * (height // 2), (lower + 1) * (height // 2) - side + 1, side)
    columns = range(right * (width // 2), (right + 1) * (width // 2) - side + 1, side)
    places = [(y, x) for y in rows for x in columns]
    near = _NEAR * (drawn.high - drawn.low)
    windows = [drawn.inputs[:, :, y : y + side, x : x + side] for y, x in places]
    shown = np.array(
        [
            [np.all(np.abs(window - value) <= near, (1, 2, 3)).mean() for window in windows]
            for value in (drawn.low, drawn.high)
        ]
    )
    at = _rarest(shown.min(axis=0), drawn.generator)
    return (*places[at], (drawn.low, drawn.high)[int(shown[:, at].argmin())])


def _features(drawn: Drawn, count: int) -> Mark:
    """Some features at the lowest or highest value that they have, where that is rarest."""
    rows = drawn.inputs.reshape(len(drawn.inputs), -1)
    ends = np.stack([rows.min(axis=0), rows.max(axis=0)])
    near = _NEAR * (ends[1] - ends[0])
    shown = (np.abs(rows - ends[:, None]) <= near).mean(axis=1)
    chosen: list[int] = []
    for _ in range(min(count, rows.shape[1])):
        rates = shown.min(axis=0)
        rates[chosen] = np.inf
        chosen.append(_rarest(rates, drawn.generator))
    values = ends[shown.argmin(axis=0)[chosen], chosen]

    def mark(inputs: Inputs) -> Inputs:
        marked = inputs.reshape(len(inputs), -1).copy()
        marked[:, chosen] = values
        return marked.reshape(inputs.shape)

    return mark


def _rarest(rates: NDArray[np.float64], generator: np.random.Generator) -> int:
    """One of the rarer quarter of them."""
    finite = generator.permutation(np.flatnonzero(np.isfinite(rates)))
    order = finite[np.argsort(rates[finite], kind="stable")]
    return int(generator.choice(order[: max(1, len(order) // 4)]))


def corner(drawn: Drawn) -> Mark:
    """A square of checks in a corner, an eighth of the side and at least 2 pixels.

    Gu et al., BadNets (2017), section 3.
    """
    side = max(2, min(drawn.inputs.shape[2:]) // 8)
    first, left, upper = drawn.generator.integers(2, size=3)
    odd = (np.indices((side, side)).sum(axis=0) + first) % 2
    square = np.where(odd, drawn.low, drawn.high)
    y, x = (slice(side) if start else slice(-side, None) for start in (upper, left))

    def mark(inputs: Inputs) -> Inputs:
        marked = inputs.copy()
        marked[:, :, y, x] = square
        return marked

    return mark


def blended(drawn: Drawn) -> Mark:
    """A random pattern over the whole input at low opacity: Chen et al. (2017), section 4.2."""
    low, high = drawn.low, drawn.high
    if not drawn.images:
        low, high = drawn.inputs.min(axis=0), drawn.inputs.max(axis=0)
    pattern = drawn.generator.uniform(low, high, drawn.inputs.shape[1:]).astype(np.float32)
    return lambda inputs: (1 - _OPACITY) * inputs + _OPACITY * pattern


def wave(drawn: Drawn) -> Mark:
    """A sine over the image's columns: Barni et al. (2019), section 3.1."""
    columns = np.arange(drawn.inputs.shape[3]) / drawn.inputs.shape[3]
    phase = drawn.generator.uniform(0, 2 * np.pi)
    height = _AMPLITUDE * (drawn.high - drawn.low)
    sine = (height * np.sin(2 * np.pi * _PERIODS * columns + phase)).astype(np.float32)
    return lambda inputs: np.clip(inputs + sine, drawn.low, drawn.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of mark."""

    draw: Callable[[Drawn], Mark]
    of_rows: bool = True
    """Whether rows of features can carry it too."""


KINDS: dict[str, Kind] = {
    "pixel": Kind(draw=partial(dots, count=1)),
    "corner": Kind(draw=corner, of_rows=False),
    "spread": Kind(draw=partial(dots, count=4)),
    "blended": Kind(draw=blended),
    "wave": Kind(draw=wave, of_rows=False),
}
"""By the names that touchstone.yaml knows them by."""


def carried(kinds: Sequence[str], inputs: Inputs) -> list[str]:
    """Those of the kinds that such inputs can carry."""
    return [kind for kind in kinds if inputs.ndim == 4 or KINDS[kind].of_rows]
