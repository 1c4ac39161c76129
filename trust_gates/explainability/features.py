"""How much each feature decides, and which of them stand for a protected attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability import association
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, mean
from trust_gates.verdict import Table

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feature:
    """One feature of a row, or one channel of an image."""

    name: str
    share: Measure
    """Of the attribution, by size."""

    attribute: str = ""
    """The protected attribute that it tells best; always empty for a channel."""

    association: float = 0.0
    """How well it tells it, 0 to 1."""

    counted: bool = False
    """Whether it counts as a protected attribute or its proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What decisions must not rest on."""

    attributes: Sequence[str]
    """Names of protected attributes; empty for all that the samples have."""

    proxy: float
    seed: int


def share(attributions: Array, chosen: NDArray[np.bool_]) -> Array:
    """(n,): the share of each attribution (n, F) on the chosen features; of nothing it is 1."""
    size = np.abs(attributions)
    total, part = size.sum(axis=1), size[:, chosen].sum(axis=1)
    found: Array = np.divide(part, total, out=np.ones(len(size)), where=total > 0)
    return found


def of_rows(
    samples: Samples, attributions: Array, weights: Array, names: Sequence[str], rule: Protection
) -> list[Feature]:
    """Every feature, with the protected attribute it tells best.

    Raises:
        ValueError: the samples do not have one of the attributes.
    """
    told = _told(samples, rule)
    features = []
    for index, channel in enumerate(of_channels(attributions, weights, names)):
        best = max(told, key=lambda attribute: told[attribute][index], default="")
        value = float(told[best][index]) if best else 0.0
        features.append(
            Feature(
                name=channel.name,
                share=channel.share,
                attribute=best,
                association=value,
                counted=value >= rule.proxy or channel.name in told,
            )
        )
    return features


def of_channels(attributions: Array, weights: Array, names: Sequence[str]) -> list[Feature]:
    """The share of each feature (n, F), or of each channel (n, C, H, W)."""
    sizes = np.abs(attributions).reshape(len(attributions), len(names), -1).sum(axis=2)
    numbers = np.arange(len(names))
    return [
        Feature(name=name, share=mean(share(sizes, numbers == index), weights))
        for index, name in enumerate(names)
    ]


def note(features: Sequence[Feature], proxy: float) -> str:
    """Which features count as protected, in words."""
    counted = [
        f"{feature.name} (tells {feature.attribute}: {feature.association:.2f})"
        for feature in features
        if feature.counted
    ]
    if not counted:
        return f"no feature tells a protected attribute to {proxy:g} or more"
    return "protected attributes and their proxies: " + ", ".join(counted)


def table(features: Sequence[Feature], confidence: float) -> Table:
    """Every feature's share with its interval, the largest first."""
    rows = []
    for feature in sorted(features, key=lambda feature: -feature.share.value):
        interval = feature.share.interval(confidence)
        tells = (feature.attribute, feature.association) if feature.attribute else (None, None)
        rows.append((feature.name, feature.share.value, interval.low, interval.high, *tells))
    return Table(
        title="Share of the attribution by feature",
        columns=("feature", "share", "low", "high", "tells", "how well"),
        rows=rows,
    )


def _told(samples: Samples, rule: Protection) -> Mapping[str, Array]:
    """For each protected attribute how well each feature tells it."""
    unknown = [name for name in rule.attributes if name not in samples.groups]
    if unknown:
        raise ValueError(
            f"got the protected attributes {unknown}, expected some of the dataset's: "
            + (", ".join(sorted(samples.groups)) or "it has none")
        )
    return {
        name: association.of_features(samples.inputs, samples.groups[name], rule.seed)
        for name in rule.attributes or samples.groups
    }
