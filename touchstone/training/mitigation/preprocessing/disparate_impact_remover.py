"""Disparate Impact Remover: no feature tells the groups apart, and ranks within each stay.

Feldman, Friedler, Moeller, Scheidegger and Venkatasubramanian, "Certifying and removing disparate
impact", KDD 2015, section 5 (combinatorial repair towards the median distribution). A twin of
AIF360's, which needs the package BlackBoxAuditing.
"""

from __future__ import annotations

import numpy as np

from touchstone.training.mitigation import Mitigation
from touchstone.training.mitigation.method import Cases, Prepared
from touchstone.training.mitigation.served import Quantiles

_KNOTS = 101


def prepare(cases: Cases, mitigation: Mitigation, seed: int) -> Prepared:
    """Repair every feature; the model repairs later inputs likewise.

    A feature that holds the protected attribute itself ends up in the middle for everybody: left
    as it is, it would tell the groups apart for all others.

    Raises:
        ValueError: the inputs are no feature rows, or a group has no rows.
    """
    rows = cases.rows("disparate_impact_remover")
    features = tuple(range(rows.shape[1]))
    groups = range(int(cases.group.max()) + 1)
    absent = [group for group in groups if not (cases.group == group).any()]
    if absent:
        raise ValueError(f"group {absent} has no training rows, so its distribution is unknown")
    ranks = np.linspace(0, 1, _KNOTS)
    own = np.array(
        [np.quantile(rows[cases.group == group][:, features], ranks, axis=0).T for group in groups]
    )
    repair = Quantiles(
        level=float(mitigation.option("repair_level")),
        features=features,
        own=own.tolist(),
        common=np.median(own, axis=0).tolist(),
    )
    return Prepared(
        inputs=repair.apply(cases.inputs, cases.group), labels=cases.labels, repair=repair
    )
