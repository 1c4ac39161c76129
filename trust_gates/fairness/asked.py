"""What was the fairness gate asked, and which attributes that the data declare was it not?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trust_gates.fairness.groups import Grouping
from trust_gates.fairness.measured import View
from trust_gates.fairness.policy import Fairness
from trust_gates.policy import Setting
from trust_gates.samples import Bools, Ints, Samples
from trust_gates.verdict import Table
from trust_gates.written import number


def pairs(
    groups: Grouping, policy: Fairness, setting: Setting, sizes: Ints
) -> list[tuple[str, str]]:
    """Whom the policy compares, and how surely."""
    found = []
    for attribute, comparison in zip(policy.attributes, groups.comparisons, strict=False):
        count = {
            side: int(sizes[list(members)].sum())
            for side, members in (
                ("privileged", comparison.privileged),
                ("others", comparison.unprivileged),
            )
        }
        privileged = ", ".join(attribute.privileged)
        others = f"all other values ({count['others']})"
        if len(policy.attributes) == 1:
            named = [f"{groups.names[i]} ({sizes[i]})" for i in comparison.unprivileged]
            whole = f" ({count['others']} in all)" if len(named) > 1 else ""
            others = ", ".join(named) + whole
        found.append(
            (
                f"protected attribute {attribute.name}",
                f"privileged: {privileged} ({count['privileged']}); compared with: {others}",
            )
        )
    return [
        *found,
        ("comparisons of groups", str(len(groups.comparisons))),
        ("fewest rows of a group that decide (minimumGroup)", str(policy.minimum_group)),
        ("confidence", f"{number(setting.confidence, 6)} for all checks of this gate together"),
    ]


def warning(name: str, samples: Samples) -> str:
    """That a declared attribute was not judged, with the sizes of its groups."""
    values, counted = np.unique(samples.groups[name], return_counts=True)
    sizes = ", ".join(f"{v} {n}" for v, n in zip(values, counted, strict=True))
    return f"{name} is declared by the data and was not judged: {sizes}"


def left_out(samples: Samples, policy: Fairness) -> list[str]:
    """Names of the attributes that the data declare as protected and the policy does not judge."""
    judged = {attribute.name for attribute in policy.attributes}
    return [name for name in samples.protected if name not in judged]


def left_out_table(view: View, names: Sequence[str], samples: Samples) -> list[Table]:
    """Of attributes that nobody asked about: how often each value is favored, against all others'.

    Rows are found by their unit, the sample that they are of.
    """
    found = []
    for name in names:
        values, index = np.unique(samples.groups[name], return_inverse=True)
        member, favored = index[view.rows.unit], view.rows.predicted
        for place, value in enumerate(values):
            inside = member == place
            share, others = (_mean(favored[side]) for side in (inside, ~inside))
            gap = None if share is None or others is None else share - others
            found.append((name, str(value), int(inside.sum()), share, gap))
    title = f"Declared, but not judged{f': {view.name} against the rest' if view.name else ''}"
    columns = ("attribute", "value", "rows", "favored", "less the others")
    return [Table(title=title, columns=columns, rows=found)] if found else []


def _mean(values: Bools) -> float | None:
    return float(values.mean()) if len(values) else None
