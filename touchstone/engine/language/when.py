"""Do these when expressions let the task run?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from touchstone.engine.language.substitute import Scope
from touchstone.errors import ManifestError

if TYPE_CHECKING:
    from touchstone.documents.cel import Dialect


class CelEvaluationError(ManifestError):
    """A `cel` expression is wrong, fails, or gives something else than true or false."""


def evaluate(
    expressions: Sequence[Mapping[str, Any]], scope: Scope
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether all of them hold, and the expressions with their references replaced.

    Raises CelEvaluationError.
    """
    resolved = [dict(scope.apply(expression)) for expression in expressions]
    return all(_holds(expression) for expression in resolved), resolved


def check_cel(source: str) -> None:
    """Refuse what is no CEL, before any reference in it is replaced; it knows no variables.

    Raises CelEvaluationError.
    """
    from touchstone.documents.cel import CelError

    try:
        _dialect().compile(source)
    except CelError as error:
        hint = "a variable of Tekton is written '$(params.NAME)', in quotes"
        raise CelEvaluationError(
            f"{error}; {hint}" if "undeclared" in str(error) else str(error)
        ) from None


def _holds(expression: Mapping[str, Any]) -> bool:
    if "cel" in expression:
        return _cel(expression["cel"])
    found = expression["input"] in expression["values"]
    return found if expression["operator"] == "in" else not found


def _cel(source: str) -> bool:
    from touchstone.documents.cel import CelError

    try:
        value = _dialect().evaluate(source, {})
    except CelError as error:
        raise CelEvaluationError(str(error)) from None
    if not isinstance(value, bool):
        raise CelEvaluationError(f"The CEL expression {source} is not evaluated to a boolean")
    return value


@lru_cache(maxsize=1)
def _dialect() -> Dialect:
    from touchstone.documents.cel import Dialect

    return Dialect()
