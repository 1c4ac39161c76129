"""What do decisions about rows rest on, and how much of it is protected or stands for that?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trust_gates import embedded
from trust_gates.explainability import features, methods
from trust_gates.explainability.explained import Explained
from trust_gates.explainability.features import Feature
from trust_gates.explainability.policy import Explainability
from trust_gates.explainability.subject import Subject, of_samples
from trust_gates.explainability.words import Bag
from trust_gates.policy import Setting
from trust_gates.statistics import Measure, mean, missing
from trust_gates.verdict import Table

Array = NDArray[np.float64]

_OF_A_GROUP = 32
"""Decisions of each group that are explained at least, where there are so many."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rested:
    """What the decisions rest on."""

    features: list[Feature]
    protected: Measure
    """The share of protected attributes and their proxies."""

    tables: list[Table]
    notes: list[str]
    warnings: list[str]


def rested(explained: Explained, policy: Explainability, setting: Setting) -> Rested:
    """Of rows of features, or of tokens as rows with a column a word."""
    subject, weights, space = explained.subject, explained.weights, explained.space
    rule = policy.protection(setting.seed)
    rows_of, sizes, bag = explained.everything, explained.attributions, None
    tables, notes = [], []
    if space is None:
        names = explained.names
    else:
        bag = Bag.of(space, subject, explained.relevance)
        names, rows_of = bag.names, bag.samples(rows_of)
        sizes = bag.sizes(subject.inputs, explained.relevance)
        notes.append(embedded.explained())
    found, warnings, blind = features.of_rows(
        rows_of, sizes, weights, names, rule, columns=setting.columns
    )
    if setting.columns:
        tables.append(features.by_column(explained.attributions, weights, setting))
    counted = np.array([feature.counted for feature in found])
    share = features.share(sizes, counted)
    protected = mean(share, weights)
    notes.append(features.note(found, policy.proxy))
    if counted.any():
        further, more = _of_small_groups(explained, policy, setting.seed)
        if bag is not None:
            more = bag.sizes(further.inputs, explained.parts.total(more))
        else:
            more = explained.parts.divided(more)
        rows = np.concatenate([subject.rows, further.rows])
        groups = features.protected(explained.samples, rule)
        protected, by_group = features.worst_group(
            {name: values[rows] for name, values in groups.items()},
            np.concatenate([share, features.share(more, counted)]),
            protected,
        )
        tables.append(by_group)
    if blind:
        whom = ", ".join(blind)
        why = f"no two values of {whom} are frequent enough to look for what tells them"
        protected = missing(why, grouped=True)
    return Rested(
        features=found, protected=protected, tables=tables, notes=notes, warnings=warnings
    )


def _of_small_groups(
    explained: Explained, policy: Explainability, seed: int
) -> tuple[Subject, Array]:
    """Further decisions, of groups that few of those explained are of, and attributions (n, F).

    The smallest groups come first, and all together are at most twice as many as the policy's
    samples.
    """
    samples, subject, space = explained.samples, explained.subject, explained.space
    order = np.random.default_rng(seed).permutation(len(samples))
    known, chosen = set(subject.rows.tolist()), list[int]()
    for values in features.protected(samples, policy.protection(seed)).values():
        names, sizes = np.unique(values, return_counts=True)
        for name in names[np.argsort(sizes)]:
            inside = order[values[order] == name].tolist()
            lacking = _OF_A_GROUP - len(known.intersection(inside))
            further = [row for row in inside if row not in known][: max(lacking, 0)]
            further = further[: 2 * policy.samples - len(chosen)]
            known.update(further)
            chosen += further
    rows = np.array(chosen, dtype=np.int64)
    if not len(rows):
        return subject.take(rows), np.zeros((0, samples.inputs.shape[1]))
    more = of_samples(subject.target, samples.take(rows), len(rows), seed, space)
    baseline = np.broadcast_to(subject.baseline[:1], more.inputs.shape).copy()
    if space is not None:
        baseline = space.beside(baseline, more.inputs)
    more = replace(more, baseline=baseline, rows=rows[more.rows])
    return more, methods.attribute(policy.method, more, explained.parts, seed=seed)
