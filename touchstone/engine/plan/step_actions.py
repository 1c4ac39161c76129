"""What does a step that refers to a StepAction become?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.engine.language.substitute import Scope, Value, references, scope_of
from touchstone.engine.language.values import as_value, resolve
from touchstone.errors import ManifestError

_TAKEN = ("command", "args", "script", "env", "volumeMounts", "results")
_REPLACED = ("image", "securityContext", "workingDir")


def resolved(step: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    """The step with the StepAction's fields in place of its own, params still to be given."""
    merged = {key: value for key, value in step.items() if key not in {"ref", "params"}}
    for part in _REPLACED:
        merged.pop(part, None)
    merged |= {part: action[part] for part in (*_TAKEN, *_REPLACED) if action.get(part)}
    return merged


def inner_scope(
    step: Mapping[str, Any], action: Mapping[str, Any], outer: Scope, *, of: str
) -> Scope:
    """What the StepAction's own fields may refer to: its params, and nothing of the Task's.

    `of` names it in messages.

    Raises ManifestError for a param that is not declared, or has neither value nor default.
    """
    specs = action.get("params", [])
    types = {spec["name"]: spec for spec in specs}
    given: dict[str, Value] = {}
    for item in step.get("params", []):
        if item["name"] not in types:
            raise ManifestError(
                f"{of}: got the param {item['name']!r}, expected one that is declared"
                f" ({', '.join(types) or 'none is'})"
            )
        value = as_value(item["value"])
        if not _whole_of_a_string(value, outer):
            given[item["name"]] = outer.apply(value)
    params = resolve(specs, given, of=of)
    return outer.without("params") | scope_of(("params",), params)


def _whole_of_a_string(value: Value, scope: Scope) -> bool:
    """Whether this is $(params.x[*]) of a string: nothing an array or object could be made of."""
    if not isinstance(value, str):
        return False
    for key in references(value):
        if key[-1] == "[*]" and isinstance(scope.known(key[:-1]), str):
            return True
    return False
