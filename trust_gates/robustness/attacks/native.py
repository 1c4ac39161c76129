"""How an attack of `trust_gates.robustness.native` is made: imported late, run batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any

from trust_gates.robustness.attacks.attack import Attack
from trust_gates.robustness.budget import Budget
from trust_gates.robustness.victim import Inputs, Victim
from trust_gates.samples import Samples


def native(
    run: str, *, steps: int | None = None, queries: int | None = None, **more: Any
) -> Attack:
    """The attack `run` with the rest of an `Attack`'s fields."""
    generate = generator(run, steps=steps, queries=queries)
    return Attack(generate=generate, effort=steps or queries, **more)


def generator(
    run: str, *, steps: int | None = None, queries: int | None = None
) -> Callable[[Victim, Samples, Budget], Inputs]:
    """The attack `run`, a `module:function`, which is imported when first run: it brings torch.

    A white-box attack has `steps`, a black-box one `queries`: where the budget names none.
    """

    def generate(victim: Victim, samples: Samples, budget: Budget) -> Inputs:
        from trust_gates.robustness.native.problem import attack

        effort = (
            {"queries": budget.queries or queries} if queries else {"steps": budget.steps or steps}
        )
        function = resolve_name(f"trust_gates.robustness.native.{run}")
        return attack(
            victim, samples, budget, partial(function, restarts=budget.restarts, **effort)
        )

    return generate
