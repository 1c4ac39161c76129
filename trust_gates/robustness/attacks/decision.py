"""Black-box attacks besides Square, native: by decisions alone, and with few values."""

from __future__ import annotations

from trust_gates.robustness.attacks.interface import Attack, Budget
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples

_QUERIES = 500
_DECISIONS = 2000
"""A decision says less than an answer: more of them are asked."""


def _sparse(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    from trust_gates.robustness.native import problem, sparse

    def run(hunt: problem.Hunt) -> None:
        sparse.search(hunt, queries=budget.queries or _QUERIES, restarts=budget.restarts)

    return problem.attack(victim, samples, budget, run)


def _hopskipjump(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
    from trust_gates.robustness.native import hopskipjump, problem

    def run(hunt: problem.Hunt) -> None:
        hopskipjump.walk(hunt, queries=budget.queries or _DECISIONS, restarts=budget.restarts)

    return problem.attack(victim, samples, budget, run)


SPARSE_RS = Attack(
    name="sparse-rs",
    meaning="random sets of values, kept when the answer gets worse (Croce et al. 2022)",
    kind="black",
    cost=_QUERIES + 1,
    generate=_sparse,
    norms=("l0",),
)
HOPSKIPJUMP = Attack(
    name="hopskipjump",
    meaning="along the border, knowing decisions alone (Chen et al. 2020)",
    kind="black",
    cost=_DECISIONS,
    generate=_hopskipjump,
    norms=("linf", "l2"),
)
