"""Who is compared with whom: protected attributes, their intersections, and the pairs of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from trust_gates.fairness.policy import Protected
from trust_gates.samples import Bools, Ints


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
    """Of each group: the values of all protected attributes together, whether they occur or not."""

    member: Ints
    """(N,): each sample's index into `names`."""

    comparisons: Sequence[Comparison]


def grouping(values: Mapping[str, NDArray[np.str_]], protected: Sequence[Protected]) -> Grouping:
    """Group samples by the values (N,) of all `protected` attributes.

    Each attribute compares its unprivileged with its privileged samples. With several attributes,
    each intersection that has any unprivileged value is also compared with those privileged in
    all of them, since groups may be treated alike one attribute at a time and not together
    (Kearns et al., "Preventing Fairness Gerrymandering", 2018). An intersection of values that
    occur, but never together, is a group without samples: nothing is known of it.

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
    found = [np.unique(np.asarray(values[one.name]), return_inverse=True) for one in protected]
    member = np.ravel_multi_index(
        [inverse.reshape(-1) for _, inverse in found], [len(known) for known, _ in found]
    )
    rows = np.array(list(product(*(known.tolist() for known, _ in found))), dtype=np.str_)
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
    return Grouping(names=names, member=member, comparisons=comparisons)


def _comparison(name: str, unprivileged: Bools, privileged: Bools) -> Comparison:
    return Comparison(
        name=name,
        unprivileged=np.flatnonzero(unprivileged).tolist(),
        privileged=np.flatnonzero(privileged).tolist(),
    )
