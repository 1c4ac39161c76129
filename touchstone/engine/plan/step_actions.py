"""What does a step that refers to a StepAction become, before the Task's own passes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchstone.engine.language.substitute import Key, Scope, Value, references
from touchstone.engine.language.values import action_params, as_value, declared_type
from touchstone.errors import ManifestError

_TAKEN = ("command", "args", "script", "env", "volumeMounts", "results")
_REPLACED = ("image", "securityContext", "workingDir")


def resolved(step: Mapping[str, Any], action: Mapping[str, Any], params: Scope) -> dict[str, Any]:
    """The step with the StepAction's fields in place of its own, and `params` put into them."""
    merged = {key: value for key, value in step.items() if key not in {"ref", "params"}}
    for part in _REPLACED:
        merged.pop(part, None)
    for part in (*_TAKEN, *_REPLACED):
        if value := action.get(part):
            merged[part] = params.text(value) if isinstance(value, str) else params.apply(value)
    return merged


def given_params(
    step: Mapping[str, Any], action: Mapping[str, Any], task: Scope, *, of: str
) -> Scope:
    """What the params of a StepAction stand for in its own fields, before the Task's passes.

    `task` knows the Task's params, which the step may give; `of` names the StepAction in messages.

    Raises ManifestError for a param that is not declared, that has neither value nor default, or
    whose default refers to nothing or to itself.
    """
    specs = {spec["name"]: spec for spec in action.get("params", [])}
    given: dict[str, Value] = {}
    late: dict[Key, Value] = {}
    for item in step.get("params", []):
        name = item["name"]
        if name not in specs:
            raise ManifestError(
                f"{of}: got the param {name!r}, expected one that is declared"
                f" ({', '.join(specs) or 'none is'})"
            )
        value, kind = task.apply(as_value(item["value"])), declared_type(specs[name])
        if not isinstance(value, str) or kind == "string" or "$(" not in value:
            given[name] = value
        elif value.startswith("$(steps."):
            given[name] = [] if kind == "array" else dict.fromkeys(specs[name]["properties"], "")
            late |= _of_a_result(("params", name), value, action)
    params = action_params([*specs.values()], given, of=of)
    values: dict[Key, Value] = {("params", name): value for name, value in params.items()}
    return Scope({**values, **late})


def _of_a_result(param: Key, value: str, action: Mapping[str, Any]) -> dict[Key, Value]:
    """References to a param given by a step's result, as those to the result that come of it."""
    result = value.removesuffix(")").removesuffix("[*]")
    found: dict[Key, Value] = {}
    for key in references(action):
        if key[:2] == param and len(key) == 3:
            part = key[2] if key[2].startswith("[") else f".{key[2]}"
            found[key] = f"{result}{part})"
    return found
