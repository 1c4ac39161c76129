"""What may a $(...) inside a Task stand for? (task_validation.go, pkg/substitution)"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from touchstone.documents.problems import By, Field
from touchstone.documents.yaml import FieldPath
from touchstone.engine.language.substitute import Key, references, walk_strings
from touchstone.engine.language.values import declared_type
from touchstone.engine.pod.steps import name_of

Json = Mapping[str, Any]
Place = Literal["string", "list", "value", "any"]
"""Where a reference stands: in a string, an item of a list, alone as a value, not looked at."""

_CONTEXT = {"taskRun": ("name", "namespace", "uid"), "task": ("name", "retry-count")}
_OUTER = ("pipelineRun", "pipeline", "pipelineTask")
_WORKSPACE = ("bound", "claim", "path", "volume")
_SEEN = ("name", "image", "workingDir", "script", "command", "args", "env", "volumeMounts")
"""The fields of a step in which the webhook looks for references."""

_STEP_RESULTS_IN = ("env", "command", "args", "params", "when", "results", "displayName")
_ANYTHING = re.compile(r"\$\((params|results|step\.results)\..*?\)")
"""What the webhook takes for a reference: whatever stands there up to the first bracket."""

_ARTIFACTS_IN = (*_STEP_RESULTS_IN, "script")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the references inside a Task can name."""

    params: Mapping[str, Json]
    """By name; all that have a value here."""

    admitted: Collection[str] | None
    """The params that the webhook takes; None where it does not look."""

    results: Collection[str] = ()
    workspaces: Collection[str] = ()
    steps: Collection[str] = ()
    around: Callable[[Key], bool] = lambda _: False
    """Whether a reference is known from around an embedded Task."""


def task_names(
    task: Field,
    params: Mapping[str, Json],
    admitted: Collection[str] | None,
    workspaces: Collection[str] = (),
    around: Callable[[Key], bool] = lambda _: False,
) -> Names:
    """What is known inside a Task that `workspaces` and `around` come into from outside."""
    steps = task.get("steps") or []
    return Names(
        params=params,
        admitted=admitted,
        results=task.names("results"),
        workspaces=[*task.names("workspaces"), *workspaces],
        steps=[name_of(step, index) for index, step in enumerate(steps)],
        around=around,
    )


def check_variables(task: Field, names: Names) -> None:
    """Every reference in a Task's steps, stepTemplate, sidecars, volumes and results."""
    for step in task.each("steps"):
        check_step(step, names)
    _check_template(task, names)
    for part in ("sidecars", "volumes"):
        if task.get(part) is not None:
            _check_others(task.at(part), names)
    for result in task.each("results"):
        _check_others(result.at("value"), names)


def check_step(step: Field, names: Names, *, results: Collection[str] | None = None) -> None:
    """Every reference in a step or StepAction; the webhook looks into some of its fields.

    `results` are those that the step declares; by default only a step that declares any is held
    to them.
    """
    own = step.names("results") if step.get("results") is not None else results

    def visit(text: str, inner: FieldPath) -> None:
        field = str(inner[0])
        for odd, root in no_references(text):
            if _is_seen(inner, (root,)) and (field == "script" or root == "params"):
                step.refuse(f"got {odd}, expected the name of a declared one in it", *inner)
        for key in references(text):
            problem, by = _problem(key, names, text, field)
            match key:
                case ("step", "results", name, *_) if own is not None and name not in own:
                    problem, by = _declared("result of this step", own), _in_script(field)
            if problem:
                admits: By = by if _is_seen(inner, key) else "embedded"
                step.refuse(f"got {written(key)}, {problem}", *inner, by=admits)

    walk_strings(step.value, visit)


def _is_seen(inner: FieldPath, key: Key) -> bool:
    """Whether the webhook looks for references in this field of a step."""
    match inner:
        case ("env", _, *part):
            return part == ["value"]
        case ("volumeMounts", _, part, *_):
            return part in ("name", "mountPath", "subPath")
        case ("onError",):
            return key[0] == "params"
    return inner[0] in _SEEN


def _check_template(task: Field, names: Names) -> None:
    """References in a stepTemplate, which the webhook sees in the steps that take them over."""
    template = task.at("stepTemplate")
    steps = [step for step in task.each("steps") if "ref" not in step.value]

    def visit(text: str, inner: FieldPath) -> None:
        field = str(inner[0])
        for key in references(text):
            problem, by = _problem(key, names, text, field)
            if problem:
                seen = _is_seen(inner, key) and any(_takes(step, inner) for step in steps)
                template.refuse(
                    f"got {written(key)}, {problem}", *inner, by=by if seen else "embedded"
                )

    def _takes(step: Field, inner: FieldPath) -> bool:
        if inner[0] == "env":
            return template.at(*inner[:2]).get("name") not in step.names("env")
        return inner[0] == "volumeMounts" or not step.get(str(inner[0]))

    walk_strings(template.value or {}, visit)


def _check_others(holder: Field, names: Names) -> None:
    """References outside steps, which the webhook does not look into."""

    def visit(text: str, inner: FieldPath) -> None:
        for key in references(text):
            problem, _ = _problem(key, names, text, "")
            if problem:
                holder.refuse(f"got {written(key)}, {problem}", *inner, by="embedded")

    walk_strings(holder.value, visit)


def _problem(key: Key, names: Names, text: str, field: str) -> tuple[str, By]:
    match key:
        case ("params", _, *_):
            place: Place = "list" if field in {"command", "args"} else "string"
            place = place if field in _SEEN else "any"
            return param_problem(key, text, place, names.params, names.admitted)
        case ("context", "taskRun" | "task" as of, name):
            return _one_of(name, _CONTEXT[of]), "tekton"
        case ("context", of, *_) if of in _CONTEXT or (of in _OUTER and not names.around(key)):
            return "which a Task does not know", "embedded"
        case ("results", name, *rest):
            if name not in names.results and (field == "script" or not names.around(key)):
                return _declared("result", names.results), _in_script(field)
            return "" if rest == ["path"] else "expected $(results.NAME.path)", "embedded"
        case ("workspaces", name, part) if field != "when" and not names.around(key):
            if name not in names.workspaces:
                return _declared("workspace", names.workspaces), "embedded"
            return _one_of(part, _WORKSPACE), "embedded"
        case ("steps", step, "results" | "outputs" | "inputs" as part, *_):
            allowed = _STEP_RESULTS_IN if part == "results" else _ARTIFACTS_IN
            if field and field not in allowed:
                what = "results of steps" if part == "results" else "artifacts"
                places = (
                    "env, command and args" if part == "results" else "env, command, args, script"
                )
                return f"expected {what} only in {places}", "tekton"
            return _step(key, step, names), "embedded"
        case ("steps", step, "exitCode", "path"):
            return _step(key, step.removeprefix("step-"), names), "embedded"
        case ("tasks", _, *_) if not names.around(key):
            return "which a Task of its own does not know; pass it as a param", "embedded"
    return "", "embedded"


def param_problem(
    key: Key, text: str, place: Place, params: Mapping[str, Json], admitted: Collection[str] | None
) -> tuple[str, By]:
    """What is wrong with a reference to a param, and who says so; empty where nothing is.

    `params` are those that have a value here, `admitted` those that the webhook takes, None where
    it does not look.
    """
    name, rest = key[1], key[2:]
    seen: By = "embedded" if admitted is None else "tekton"
    if admitted is not None and name not in admitted:
        return _declared("param", admitted), seen
    if name not in params:
        return _declared("param", params), "embedded"
    keys, length = params[name].get("properties"), params[name].get("length")
    if keys and rest and rest[0][0] != "[" and rest[0] not in keys:
        return f"expected a key of the object {name} ({', '.join(keys)})", seen
    if len(rest) > 1:
        return "expected at most a param and a key of it", seen
    if length is not None and rest and rest[0][1:-1].isdigit() and int(rest[0][1:-1]) >= length:
        return f"expected an index below {length}", "embedded"  # Tekton fails the run
    return _misused(declared_type(params[name]), rest, text, place), seen


def _misused(kind: str, rest: Key, text: str, place: Place) -> str:
    """An array or object where only a string makes sense."""
    if kind == "string" or place == "any" or (rest and rest[0] != "[*]"):
        return ""
    if place == "value" and rest and is_whole(text):
        return ""
    if kind == "object":
        return "which is an object; expected one of its keys"
    if place != "list":
        return "which is an array; expected it as an item of a list, or one item of it"
    return "" if is_whole(text) else "which is an array; expected it to stand alone"


def no_references(text: str) -> list[tuple[str, str]]:
    """What the webhook takes for a reference and is none, because of its letters; with its root."""
    return [
        (found[0], found[1]) for found in _ANYTHING.finditer(text) if not any(references(found[0]))
    ]


def is_whole(text: str) -> bool:
    """Whether the text is one reference and nothing else."""
    return text.startswith("$(") and text.find(")") == len(text) - 1


def written(key: Key) -> str:
    """A reference as it is written in YAML."""
    return f"$({key[0]}{''.join(part if part[0] == '[' else f'.{part}' for part in key[1:])})"


def _declared(what: str, names: Collection[str]) -> str:
    return f"expected a declared {what} ({', '.join(names) or 'none is declared'})"


def _one_of(name: str, allowed: Collection[str]) -> str:
    return "" if name in allowed else f"expected one of {', '.join(allowed)}"


def _step(key: Key, name: str, names: Names) -> str:
    if name in names.steps or names.around(key):
        return ""
    return f"expected a step of this Task ({', '.join(names.steps)})"


def _in_script(field: str) -> By:
    return "tekton" if field == "script" else "embedded"
