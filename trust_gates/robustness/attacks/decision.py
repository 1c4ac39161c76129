"""Black-box attacks besides Square, native: by decisions alone, and with few values."""

from __future__ import annotations

from trust_gates.robustness.attacks.native import native

_QUERIES = 500
_DECISIONS = 2000
"""A decision says less than an answer: more of them are asked."""


SPARSE_RS = native(
    name="sparse-rs",
    meaning="random sets of values, kept when the answer gets worse (Croce et al. 2022)",
    kind="black",
    cost=_QUERIES + 1,
    run="sparse:search",
    queries=_QUERIES,
    norms=("l0",),
    tasks=("classification", "regression"),
)
HOPSKIPJUMP = native(
    name="hopskipjump",
    meaning="along the border, knowing decisions alone (Chen et al. 2020)",
    kind="black",
    cost=_DECISIONS,
    run="hopskipjump:walk",
    queries=_DECISIONS,
    norms=("linf", "l2"),
    tasks=("classification", "regression"),
)
