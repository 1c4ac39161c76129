"""How much each feature decides, and which of them stand for a protected attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates.explainability.association import Attribute, Told, proxies
from trust_gates.policy import Setting
from trust_gates.samples import Samples
from trust_gates.statistics import Measure, bounded_mean, mean
from trust_gates.verdict import Table
from trust_gates.written import number

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feature:
    """One feature of a row, or one channel of an image."""

    name: str
    share: Measure
    """Of the attribution, by size."""

    attribute: str = ""
    """The protected attribute that it tells best; always empty for a channel."""

    value: str = ""
    """The value of the attribute that it tells best, where there are more than two."""

    association: float = 0.0
    """How well it tells it alone, 0 to 1."""

    together: float = 0.0
    """How well it tells it with others, where only together they tell enough to count."""

    counted: bool = False
    """Whether it counts as a protected attribute or its proxy."""

    @property
    def tells(self) -> str:
        """What it tells, in words."""
        return f"{self.attribute}={self.value}" if self.value else self.attribute


_ERROR = 0.05
"""The chance that one of the groups is said to differ where none does."""

_SHOWN_WORDS = 30
_RESTED_ON = 0.95
"""The decision rests on the features with the largest shares, up to so much of it together."""


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
    samples: Samples,
    attributions: Array,
    weights: Array,
    names: Sequence[str],
    rule: Protection,
    *,
    columns: Sequence[str] = (),
) -> tuple[list[Feature], list[str], list[str]]:
    """Every feature, with what it tells of a protected attribute best; in words, which values were
    not looked for; and the attributions' blind spots: attributes of which no value could be.

    A feature counts that is the attribute by its name or its column's, that tells a value of it
    alone, or that with others of those that the decision rests on tells it to `rule.proxy` or more.
    """
    features = of_channels(attributions, weights, names)
    named = list(zip(names, columns or names, strict=True))
    rested = _rested_on([one.share.value for one in features])
    found, unseen, blind = list(features), [], []
    for name, values in protected(samples, rule).items():
        attribute = Attribute(samples.inputs, values, rule.seed)
        if attribute.few:
            unseen.append(
                f"too few samples have {name} {', '.join(attribute.few)}: what tells it was not "
                "looked for"
            )
        if len(attribute.values) < 2:
            blind.append(name)
        alone = attribute.alone()
        counted = {*proxies(alone, rule.proxy), *(i for i, own in enumerate(named) if name in own)}
        rest = [index for index in rested if index not in counted]
        sets = attribute.sets(rest, rule.proxy, alone)
        for index, told in enumerate(alone):
            one = _telling(features[index], name, attribute.values, told, sets.get(index))
            one = replace(one, counted=index in counted or index in sets)
            found[index] = max(found[index], one, key=_weight)
    return found, unseen, blind


def _rested_on(shares: Sequence[float]) -> list[int]:
    order = np.argsort(shares)[::-1]
    reached = np.cumsum(np.asarray(shares)[order])
    return [int(one) for one in order[: int((reached < _RESTED_ON * reached[-1]).sum()) + 1]]


def _telling(
    feature: Feature, name: str, values: Sequence[str], alone: Told, together: Told | None
) -> Feature:
    told = together or alone
    if not len(told.youden):
        return replace(feature, attribute=name)
    best = int(told.youden.argmax())
    return replace(
        feature,
        attribute=name,
        value=values[best] if len(values) > 2 else "",
        association=float(alone.youden[best]),
        together=float(together.youden[best]) if together else 0.0,
    )


def _weight(feature: Feature) -> tuple[bool, float]:
    return feature.counted, max(feature.association, feature.together)


def worst_group(
    groups: Mapping[str, NDArray[np.str_]], shares: Array, whole: Measure
) -> tuple[Measure, Table]:
    """The share of the group whose decisions rest on protected features more than all together do.

    It is `whole` itself where no group's is larger by more than chance. A small group has little
    weight in the mean of all, and may be decided about by nothing else. Its bounds hold for any
    number of decisions, so that it decides however small it is; what was looked at are all.

    Args:
        groups: of each attribute, the value of each decision (n,).
        shares: (n,), the share of each decision on the counted features.
    """
    found = [
        (name, str(value), bounded_mean(shares[values == value]))
        for name, values in groups.items()
        for value in np.unique(values)
    ]
    strict = 1 - _ERROR / max(1, len(found))
    most = whole.interval(1 - _ERROR).high
    above = [one for one in found if one[2].interval(strict).low > most]
    rows = []
    for name, value, one in found:
        interval = one.interval(1 - _ERROR)
        rows.append((name, value, one.samples, one.value, interval.low, interval.high))
    table = Table(
        title="Share of the attribution on protected attributes and proxies by group, in 95 %",
        columns=("attribute", "value", "decisions", "share", "low", "high"),
        rows=rows,
    )
    if not above:
        return whole, table
    name, value, worst = max(above, key=lambda one: one[2].interval(strict).low)
    told = f"{name}={value}, {worst.samples} decisions"
    return replace(worst, of=told, samples=len(shares), grouped=False), table


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
        f"{feature.name} (tells {feature.tells}: {feature.association:.2f}"
        + (f" alone, {feature.together:.2f} with others)" if feature.together else ")")
        for feature in features
        if feature.counted
    ]
    if not counted:
        return f"no feature tells a protected attribute to {number(proxy)} or more"
    return "protected attributes and their proxies: " + ", ".join(counted)


def table(features: Sequence[Feature], confidence: float) -> Table:
    """Every feature's share with its interval, the largest first."""
    rows = []
    for feature in sorted(features, key=lambda feature: -feature.share.value):
        interval = feature.share.interval(confidence)
        tells = (
            (feature.tells, feature.association, feature.together or None)
            if feature.attribute
            else (None, None, None)
        )
        rows.append((feature.name, feature.share.value, interval.low, interval.high, *tells))
    return Table(
        title="Share of the attribution by feature",
        columns=("feature", "share", "low", "high", "tells", "how well", "with others"),
        rows=rows,
    )


def largest(features: Sequence[Feature], *, words: bool) -> Sequence[Feature]:
    """Of a table's features all of them; of words those that decide the most, and what counts."""
    if not words:
        return features
    first = sorted(features, key=lambda one: -one.share.value)[:_SHOWN_WORDS]
    return [one for one in features if one in first or one.counted]


def by_column(attributions: Array, weights: Array, setting: Setting) -> Table:
    """Every column's share with its interval, the largest first: the sum of its features'."""
    found = []
    for name in dict.fromkeys(setting.columns):
        of = np.array([one == name for one in setting.columns])
        found.append((name, mean(share(attributions, of), weights)))
    rows = []
    for name, part in sorted(found, key=lambda one: -one[1].value):
        interval = part.interval(setting.confidence)
        rows.append((name, part.value, interval.low, interval.high))
    return Table(
        title="Share of the attribution by column",
        columns=("column", "share", "low", "high"),
        rows=rows,
    )


def protected(samples: Samples, rule: Protection) -> Mapping[str, NDArray[np.str_]]:
    """The protected attributes: those asked for, else those declared, else all there are."""
    names = rule.attributes or samples.protected or samples.groups
    return {name: samples.groups[name] for name in names}
