"""Are like samples decided alike? Consistency over exact nearest neighbors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Floats, Ints
from trust_gates.statistics import RESAMPLES, Measure, missing, resampled

Array = NDArray[np.float64]

NEIGHBORS = 5

_QUERIED = 50_000
"""Beyond this many samples the neighborhoods of a random so many stand for all: each is still
exact, among all samples."""


def consistency(
    features: Floats,
    decided: Bools,
    *,
    of: Ints | slice = slice(None),
    neighbors: int = NEIGHBORS,
) -> Array:
    """1 - |decision - mean decision of the `neighbors` nearest samples|, for the samples `of`.

    Zemel et al., "Learning Fair Representations", 2013; AIF360's `consistency` is the mean. As
    there, a sample is its own nearest neighbor. Samples at the same distance as the last
    neighbor share its place evenly, so the figure does not depend on the order of rows: AIF360
    takes whichever its tree finds first. Without such ties both are equal.

    Raises:
        ValueError: there are fewer samples than neighbors, or features (n, F) do not fit.
    """
    if features.ndim != 2 or len(features) != len(decided) or len(features) < neighbors:
        raise ValueError(
            f"got features {features.shape} of {len(decided)} decisions, "
            f"expected (n, F) with n at least {neighbors}"
        )
    points, place = np.unique(features, axis=0, return_inverse=True)
    place = place.reshape(-1)
    count: Array = np.bincount(place).astype(np.float64)
    favored: Array = np.bincount(place, weights=decided).astype(np.float64)
    asked, back = np.unique(place[of], return_inverse=True)
    mean = _neighborhoods(points.astype(np.float64), count, favored, asked, neighbors)
    result: Array = 1 - np.abs(decided[of] - mean[back])
    return result


def measure(
    features: Floats | None, decided: Bools, *, seed: int, neighbors: int = NEIGHBORS
) -> Measure:
    """The mean consistency; neighborhoods stay as they are while samples are resampled."""
    if features is None or len(features) < neighbors:
        return missing(
            "it needs named features, whose distances mean something"
            if features is None
            else f"it needs at least {neighbors} samples"
        )
    generator = np.random.default_rng(seed)
    few = len(features) <= _QUERIED
    of = slice(None) if few else generator.choice(len(features), _QUERIED, replace=False)
    found = consistency(features, decided, of=of, neighbors=neighbors)
    values, count = np.unique(found, return_counts=True)
    drawn = generator.multinomial(count.sum(), count / count.sum(), size=RESAMPLES)
    total = int(count.sum())
    return resampled(float(values @ count) / total, total, drawn @ values / total)


def _neighborhoods(
    points: Array,
    count: Array,
    favored: Array,
    asked: Ints,
    neighbors: int,
) -> Array:
    """(asked,): the mean decision around each point asked for; `count` samples lie at a point."""
    from scipy.spatial import KDTree

    tree = KDTree(points)
    mean = np.full(len(asked), np.nan)
    waiting, wanted = np.arange(len(asked)), min(neighbors + 1, len(points))
    while len(waiting):
        distance, near = tree.query(points[asked[waiting]], k=wanted, workers=-1)
        distance, near = distance.reshape(-1, wanted), near.reshape(-1, wanted)
        reached = count[near].cumsum(axis=1)
        last = np.take_along_axis(distance, (reached >= neighbors).argmax(axis=1)[:, None], axis=1)
        inside, border = distance < last, distance == last
        places = neighbors - (count[near] * inside).sum(axis=1)
        at_border = (favored[near] * border).sum(axis=1) / (count[near] * border).sum(axis=1)
        mean[waiting] = ((favored[near] * inside).sum(axis=1) + places * at_border) / neighbors
        # A farthest point on the border may have more of its kind behind it: look further.
        cut = border[:, -1] & (wanted < len(points))
        waiting, wanted = waiting[cut], min(2 * wanted, len(points))
    return mean
