"""What may a $(...) of a pipeline task stand for? (pipeline_validation.go, resultref.go)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.documents.problems import By
from touchstone.documents.yaml import FieldPath
from touchstone.engine.language import graph
from touchstone.engine.language.substitute import Key
from touchstone.engine.language.values import declared_type
from touchstone.engine.rules.variables import Place, Who, param_problem

Json = Mapping[str, Any]

_CONTEXT = {
    "pipelineRun": ("name", "namespace", "uid"),
    "pipeline": ("name",),
    "pipelineTask": ("retries",),
}
_PREFIXES = ("params", "tasks", "finally", "context", "workspaces", "results")
_STATES = {"status", "reason", "message"}


@dataclass(frozen=True, kw_only=True)
class PipelineNames:
    """What the references of a Pipeline can name."""

    params: Mapping[str, Json]
    workspaces: Collection[str]
    tasks: Mapping[str, Json]
    finals: Mapping[str, Json]
    results: Callable[[Json], Mapping[str, Json] | None]
    """The results a pipeline task declares; None where that is not known here."""

    def pipeline_result(self, key: Key) -> tuple[str, By]:
        """What is wrong with a reference in a Pipeline's result; empty where nothing is."""
        if len(key) not in {4, 5} or key[0] not in {"tasks", "finally"} or key[2] != "results":
            return "expected $(tasks.NAME.results.RESULT)", "tekton"
        section = self.tasks if key[0] == "tasks" else self.finals
        if key[1] not in section:
            return f"expected a task under {key[0]} ({', '.join(section)})", "tekton"
        return self.declared_result(section[key[1]], key), "embedded"

    def declared_result(self, task: Json, key: Key) -> str:
        """Whether the task declares the result, and of a type that this reference can read."""
        declared = self.results(task)
        if declared is None:
            return ""
        if key[3] not in declared:
            return f"expected a result of {key[1]} ({', '.join(declared) or 'none is declared'})"
        if "matrix" in task or len(key) < 5:
            return ""
        kind = declared_type({**declared[key[3]], "default": ""})
        keys = declared[key[3]].get("properties", {})
        if key[4][0] != "[":
            right = kind == "object" and key[4] in keys
        else:
            right = kind == "array" or (kind == "object" and key[4] == "[*]")
        return "" if right else f"which is of type {kind}"


def problem_of(
    key: Key,
    text: str,
    inner: FieldPath,
    *,
    names: PipelineNames,
    admitted: Mapping[str, Json] | None,
    final: bool,
) -> tuple[str, Who]:
    """What is wrong with a reference at `inner` of a pipeline task, and who refuses it.

    Whatever the Task itself may replace passes in a param.
    """
    field = inner[0]
    looks: Who = "tekton" if field in {"params", "when"} else "nobody"
    given: Who = "tekton" if field in {"params", "matrix"} else "nobody"
    match key:
        case ("params", _, *_):
            # Of a matrix' own params the webhook looks at the items of a list alone.
            whole = inner[:2] == ("matrix", "params") and len(inner) == 4
            seen = admitted if field in {"params", "when", "matrix"} and not whole else None
            unseen: Who = "embedded" if whole else "nobody"
            return param_problem(key, text, _place(inner), names.params, seen, unseen=unseen)
        case ("context", "taskRun" | "task", _) | ("results", _, "path") if field == "params":
            return "", "nobody"
        case ("workspaces", _, "bound" | "path" | "claim" | "volume") if field == "params":
            return "", "nobody"
        case ("context", of, name) if of in _CONTEXT:
            wanted = f"expected one of {', '.join(_CONTEXT[of])}"
            return ("" if name in _CONTEXT[of] else wanted), given
        case ("workspaces", name, "bound"):
            return "" if name in names.workspaces else "expected a declared workspace", "nobody"
        case ("tasks", "status"):
            return "" if final else "which only finally tasks know", looks
        case ("tasks", name, state) if state in _STATES:
            if not final:
                return "which only finally tasks know", looks
            return "" if name in names.tasks else "expected a task outside finally", looks
        case ("tasks", name, "results", _, *_):
            return _result(key, names, field=str(field), final=final)
        case ("tasks", name, "matrix", *_) if graph.is_matrix_length(key):
            matrixed = "matrix" in names.tasks.get(name, {})
            return "" if matrixed else "expected a task with a matrix", "nobody"
        case ("tasks", name, "inputs" | "outputs", *_):
            return "" if name in names.tasks else "expected a task outside finally", "nobody"
        case (prefix, *_) if prefix not in _PREFIXES:
            first = f"expected one of {', '.join(_PREFIXES)} first; a shell variable is ${{NAME}}"
            return first, "tekton" if field in {"params", "when", "matrix"} else "nobody"
    return "which a Pipeline does not know here", "nobody"


def problem_inside(
    key: Key, orders: bool, *, names: PipelineNames, final: bool
) -> tuple[str, Who] | None:
    """What is wrong with a reference to the pipeline from inside an embedded Task.

    None where the pipeline replaces nothing of the kind there, or does not know it.
    """
    match key:
        case ("context", "pipelineRun" | "pipeline" as of, name):
            wanted = f"expected one of {', '.join(_CONTEXT[of])}"
            return ("" if name in _CONTEXT[of] else wanted), "nobody"
        case ("workspaces", name, "bound") if name in names.workspaces:
            return "", "nobody"
        case ("tasks", _, "results", _, *_):
            return _result(key, names, field="taskSpec" if orders else "", final=final)
        case ("tasks", name, "inputs" | "outputs", *_) if name in names.tasks:
            return "", "nobody"
        case ("tasks", *_):
            return "which is replaced in params of the task, and not in a taskSpec", "nobody"
    return None


def _place(inner: FieldPath) -> Place:
    match inner:
        case ("params", _, "value"):
            return "value"
        case ("params", _, "value", int()) | ("when", _, "values", _):
            return "list"
        case ("matrix", "params", _, "value", *_):
            return "list" if len(inner) > 4 else "any"
        case ("params" | "when" | "matrix", *_):
            return "string"
    return "any"


def _result(key: Key, names: PipelineNames, *, field: str, final: bool) -> tuple[str, Who]:
    name = key[1]
    orders = field in {"params", "when", "matrix", "taskSpec"}
    looks: Who = "tekton" if field in {"params", "when"} else "embedded"
    if orders and not final:
        looks = "tekton"  # the order of the tasks comes from it
    elif not orders:
        looks = "nobody"
    if name not in names.tasks:
        # Of every task Tekton draws the links first, those of a matrix too.
        by: Who = looks if final else "tekton"
        return f"expected a task outside finally ({', '.join(names.tasks)})", by
    target = names.tasks[name]
    if "pipelineRef" in target or "pipelineSpec" in target:
        return (
            "but the referenced task uses pipelineRef or pipelineSpec, and Tekton propagates no"
            " results from child Pipelines"
        ), "tekton"
    if "matrix" in target and not final and field == "params":
        if key[-1] != "[*]":
            return "which a matrix makes an array; expected [*] after it", looks
        declared = (names.results(target) or {}).get(key[3], {})
        if declared.get("type", "string") != "string":
            return f"which is of type {declared['type']}; expected string for a matrix", looks
    return names.declared_result(target, key), "embedded"
