"""Is there a group that nobody named and whose outcomes the model gets wrong? A bias scan finds it.

Zhang and Neill, "Identifying Significant Predictive Bias in Classifiers", 2016 (MDSS), by AIF360's
scanner. The worst of many subgroups looks bad by chance alone, so it is found on one half of the
rows and measured on the other, where its gap is an honest estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trust_gates.samples import Bools, Floats
from trust_gates.statistics import Measure, bounded_mean
from trust_gates.written import number

LEVELS = 4
"""A feature with more values than this is scanned by so many quantile bands."""

_SCANNED = 4000
"""Rows searched at most: AIF360's scanner takes seconds for these, and time grows with them."""

_ITERATIONS = 2
_PENALTY = 1.0
"""What each value that a subgroup names costs of its log likelihood: keeps it describable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """The worst subgroup in one direction."""

    values: Mapping[str, Sequence[str]]
    """Each attribute that it names, with the values that belong; empty: everybody."""

    gap: Measure
    """Mean score less favorable share (or the reverse) in it, on rows it was not found on."""

    def __str__(self) -> str:
        parts = [f"{name} {' or '.join(values)}" for name, values in self.values.items()]
        return " and ".join(parts) or "everybody"


def bands(values: Floats) -> NDArray[np.str_]:
    """(n,): a feature in words: its values where they are few, else bands between quantiles."""
    distinct = np.unique(values)
    if len(distinct) <= LEVELS:
        return np.array([number(value) for value in values])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, LEVELS + 1)[1:-1]))
    words = [f"below {number(edges[0], 3)}"]
    words += [f"{number(a, 3)} to {number(b, 3)}" for a, b in zip(edges, edges[1:], strict=False)]
    words += [f"from {number(edges[-1], 3)}"]
    return np.array(words)[np.searchsorted(edges, values, side="right")]


def scan(
    attributes: Mapping[str, NDArray[np.str_]],
    truth: Bools,
    scores: Floats,
    *,
    over: bool,
    seed: int,
) -> Subgroup:
    """The subgroup whose outcomes are most over- (or under-) predicted.

    Args:
        attributes: values (n,) of each attribute that may describe a subgroup.
        over: whether the scores are too high for it, or too low.

    Raises:
        ValueError: there are no attributes, or lengths differ.
    """
    import pandas as pd
    from aif360.detectors.mdss.MDSS import MDSS
    from aif360.detectors.mdss.ScoringFunctions import Bernoulli

    if not attributes or any(len(v) != len(truth) for v in (*attributes.values(), scores)):
        raise ValueError(
            f"got {len(attributes)} attributes for {len(truth)} rows, "
            "expected at least one, and a value of each for every row"
        )
    order = np.random.default_rng(seed).permutation(len(truth))
    search, held = order[: len(order) // 2][:_SCANNED], order[len(order) // 2 :]
    frame = pd.DataFrame({name: values[search] for name, values in attributes.items()})
    # As AIF360's bias_scan does, which takes no rows that are all unfavorable.
    found, _ = MDSS(Bernoulli(direction="negative" if over else "positive")).scan(
        frame,
        pd.Series(np.asarray(scores[search], dtype=np.float64).clip(1e-6, 1 - 1e-6)),
        pd.Series(truth[search].astype(int)),
        _PENALTY,
        _ITERATIONS,
        mode="binary",
    )
    inside = np.ones(len(held), dtype=bool)
    for name, values in found.items():
        inside &= np.isin(attributes[name][held], values)
    gap = scores[held][inside] - truth[held][inside]
    return Subgroup(
        values={name: sorted(map(str, values)) for name, values in found.items()},
        gap=bounded_mean((gap if over else -gap).astype(np.float64), low=-1.0),
    )
