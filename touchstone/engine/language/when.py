"""Do these when expressions let the task run?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.documents.cel import PLAIN, CelError
from touchstone.engine.language.substitute import Scope
from touchstone.errors import ManifestError

_HINT = "; only CEL's own names are here: Tekton's are written '$(params.NAME)', in quotes"


class CelEvaluationError(ManifestError):
    """A `cel` expression is wrong, fails, or gives something else than true or false."""


def evaluate(
    expressions: Sequence[Mapping[str, Any]], scope: Scope
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether all of them hold, and the expressions with their references replaced.

    Raises CelEvaluationError.
    """
    resolved = [_replaced(expression, scope) for expression in expressions]
    return all(_holds(expression) for expression in resolved), resolved


def check_cel(source: str) -> None:
    """Refuse what is no CEL, before any reference in it is replaced; it knows no variables.

    Raises CelEvaluationError.
    """
    try:
        PLAIN.compile(source)
    except CelError as error:
        hint = _HINT if "undeclared reference" in str(error) else ""
        raise CelEvaluationError(f"{error}{hint}") from None


def _replaced(expression: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """The expression as it is evaluated; a whole array as the input counts as its JSON."""
    replaced = dict(expression)
    if "values" in expression:
        replaced["values"] = scope.apply(expression["values"])
    if "cel" in expression:
        replaced["cel"] = scope.text(expression["cel"])
    if "input" in expression:
        text = expression["input"]
        replaced["input"] = scope.text(text)
        if text.startswith("$(") and (items := scope.apply([text])) != [replaced["input"]]:
            replaced["input"] = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    return replaced


def _holds(expression: Mapping[str, Any]) -> bool:
    if "cel" in expression:
        return _cel(expression["cel"])
    found = expression["input"] in expression["values"]
    return found if expression["operator"] == "in" else not found


def _cel(source: str) -> bool:
    try:
        value = PLAIN.evaluate(source, {})
    except CelError as error:
        raise CelEvaluationError(str(error)) from None
    if not isinstance(value, bool):
        raise CelEvaluationError(f"The CEL expression {source} is not evaluated to a boolean")
    return value
