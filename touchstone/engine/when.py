"""Do these when expressions let the task run?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.engine.substitute import Scope


def evaluate(
    expressions: Sequence[Mapping[str, Any]], scope: Scope
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether all of them hold, and the expressions with their references replaced."""
    resolved = [dict(scope.apply(expression)) for expression in expressions]
    return all(_holds(expression) for expression in resolved), resolved


def _holds(expression: Mapping[str, Any]) -> bool:
    found = expression["input"] in expression["values"]
    return found if expression["operator"] == "in" else not found
