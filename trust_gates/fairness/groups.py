"""Who is compared with whom: protected attributes, their intersections, and the pairs of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """One protected attribute."""

    name: str
    privileged: Sequence[str]
    """Its privileged values; all others are unprivileged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An unprivileged set of groups against a privileged one."""

    name: str
    """The attribute, or the intersection in words; empty where there is only one comparison."""

    unprivileged: Sequence[int]
    privileged: Sequence[int]
    """Indices into the grouping's `names`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouping:
    """Every sample's finest group, and the comparisons that follow from the attributes."""

    names: Sequence[str]
    """Of each group: the values of all protected attributes together."""

    member: Ints
    """(N,): each sample's index into `names`."""

    comparisons: Sequence[Comparison]


def grouping(values: Mapping[str, NDArray[np.str_]], protected: Sequence[Protected]) -> Grouping:
    """Group samples by the values (N,) of all `protected` attributes.

    Each attribute compares its unprivileged with its privileged samples. With several attributes,
    each intersection that has any unprivileged value is also compared with those privileged in
    all of them, since groups may be treated alike one attribute at a time and not together
    (Kearns et al., "Preventing Fairness Gerrymandering", 2018).

    Raises:
        ValueError: there is no attribute, or one that the samples do not have.
    """
    if not protected:
        raise ValueError("got no protected attribute, expected at least one")
    for attribute in protected:
        if attribute.name not in values:
            raise ValueError(
                f"got the protected attribute {attribute.name!r}, expected one of the dataset's: "
                + (", ".join(sorted(values)) or "it has none")
            )
    columns = np.stack([np.asarray(values[one.name], dtype=np.str_) for one in protected], axis=1)
    rows, member = np.unique(columns, axis=0, return_inverse=True)
    inside = np.stack(
        [np.isin(rows[:, i], list(one.privileged)) for i, one in enumerate(protected)], axis=1
    )
    several = len(protected) > 1
    names = [
        ", ".join(
            f"{one.name}={value}" if several else str(value)
            for one, value in zip(protected, row, strict=True)
        )
        for row in rows
    ]
    comparisons = [
        _comparison(one.name if several else "", ~inside[:, i], inside[:, i])
        for i, one in enumerate(protected)
    ]
    if several:
        top: Bools = np.asarray(inside.all(axis=1))
        comparisons += [
            _comparison(names[index], np.arange(len(rows)) == index, top)
            for index in np.flatnonzero(~top)
        ]
    return Grouping(names=names, member=member.reshape(-1), comparisons=comparisons)


def _comparison(name: str, unprivileged: Bools, privileged: Bools) -> Comparison:
    return Comparison(
        name=name,
        unprivileged=np.flatnonzero(unprivileged).tolist(),
        privileged=np.flatnonzero(privileged).tolist(),
    )
