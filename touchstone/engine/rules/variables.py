"""What may a $(...) inside a Task stand for? (task_validation.go, pkg/substitution)"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from touchstone.documents.problems import By, Field
from touchstone.documents.yaml import FieldPath
from touchstone.engine.language import graph
from touchstone.engine.language.substitute import Key, Scope, references, walk_strings
from touchstone.engine.language.values import declared_type
from touchstone.engine.pod.steps import name_of

Json = Mapping[str, Any]
Place = Literal["string", "list", "value", "any"]
"""Where a reference stands: in a string, an item of a list, alone as a value, not looked at."""

Who = By | Literal["nobody"]
"""Who refuses a reference. Where nobody does, it stays as text: Tekton runs it, and so do we."""

Around = Callable[[Key, bool], tuple[str, Who] | None]
"""What is wrong with a reference to the pipeline around an embedded Task; None for others. Told is
whether the order of the tasks comes from it."""

_CONTEXT = {"taskRun": ("name", "namespace", "uid"), "task": ("name", "retry-count")}
_OUTER = ("pipelineRun", "pipeline", "pipelineTask")
_WORKSPACE = ("bound", "claim", "path", "volume")
_SEEN = ("name", "image", "workingDir", "script", "command", "args", "env", "volumeMounts")
"""The fields of a step in which the webhook looks for references."""

_SEEN_OF_STEPS = (*_SEEN, "envFrom", "imagePullPolicy")
"""Those in which it looks for results and artifacts of steps."""

_STEP_RESULTS_IN = ("env", "command", "args", "params", "when", "results", "displayName")
_ANYTHING = re.compile(r"\$\((params|results|step\.results)\..*?\)")
"""What the webhook takes for a reference: whatever stands there up to the first bracket."""

_ARTIFACTS_IN = (*_STEP_RESULTS_IN, "script")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the references inside a Task can name."""

    params: Mapping[str, Json]
    """By name; all that have a value here."""

    admitted: Mapping[str, Json] | None
    """The params that the webhook takes, by name; None where it does not look."""

    arrays: Collection[str] = ()
    """The array params that the Task itself declares: at these the webhook looks in any case."""

    results: Collection[str] = ()
    workspaces: Collection[str] = ()
    steps: Collection[str] = ()
    around: Around = lambda _, __: None

    unbound: Who = "nobody"
    """Who refuses a workspace of another name."""


def task_names(
    task: Field,
    params: Mapping[str, Json],
    admitted: Mapping[str, Json] | None,
    workspaces: Collection[str] = (),
    around: Around = lambda _, __: None,
    unbound: Who = "nobody",
) -> Names:
    """What is known inside a Task that `workspaces` and `around` come into from outside."""
    steps = task.get("steps") or []
    return Names(
        params=params,
        admitted=admitted,
        arrays=[
            str(item.get("name"))
            for item in task.each("params")
            if declared_type(item.value) == "array"
        ],
        results=task.names("results"),
        workspaces=[*task.names("workspaces"), *workspaces],
        steps=[name_of(step, index) for index, step in enumerate(steps)],
        around=around,
        unbound=unbound,
    )


def refuse(field: Field, problem: str, *inner: str | int, who: Who) -> None:
    """Note what is wrong with a reference at `inner` of `field`."""
    by: By = "embedded" if who == "nobody" else who
    field.refuse(problem, *inner, by=by, runs_here=who == "nobody")


def check_variables(task: Field, names: Names) -> None:
    """Every reference in a Task's steps, stepTemplate, sidecars, volumes and results."""
    steps = list(task.each("steps"))
    for step in steps:
        check_step(step, names)
    if task.get("stepTemplate") is not None:
        template = task.at("stepTemplate")
        own = [step for step in steps if "ref" not in step.value]
        # The webhook reads it in the steps that take something of it.
        check_step(template, names, reads=lambda at: any(_takes(one, template, at) for one in own))
    for part in ("sidecars", "volumes"):
        if task.get(part) is not None:
            _check_others(task.at(part), names, part)
    for result in task.each("results"):
        _check_others(result.at("value"), names, "results")


def leftover(step: Json, scope: Scope, task: Json) -> str:
    """The text of a step that the webhook refuses once `scope` is replaced; empty where none is.

    A reference that a param's value brought along is looked at then, like one that was written.
    """
    params = {item["name"]: item for item in task.get("params", [])}
    results = [item["name"] for item in task.get("results", [])]
    for field in (*_SEEN, "onError"):
        for text in _seen_texts(step.get(field, ""), scope):
            for key in references(text):
                match key:
                    case ("params", name, *rest):
                        keys = params.get(name, {}).get("properties")
                        part = rest and rest[0][0] != "["
                        unknown = name not in params or (part and keys and rest[0] not in keys)
                    case ("context", of, _):
                        unknown = of in _CONTEXT
                    case ("results", name, *_):
                        unknown = field == "script" and name not in results
                    case _:
                        unknown = False
                if unknown:
                    return text
    return ""


def _seen_texts(value: Any, scope: Scope) -> list[str]:
    """The texts of a step's field in which the webhook looks for references."""
    if isinstance(value, str):
        return [scope.text(value)]
    texts = [item for item in value if isinstance(item, str)]
    parts = ("value", "mountPath", "subPath")
    held = [item.get(part) for item in value if isinstance(item, Mapping) for part in parts]
    return list(scope.apply(texts)) + [scope.text(text) for text in held if text]


def check_step(
    step: Field,
    names: Names,
    *,
    reads: Callable[[FieldPath], bool] = lambda _: True,
    results: Collection[str] | None = None,
) -> None:
    """Every reference in a step, stepTemplate or StepAction.

    The webhook looks into some of the fields, and of these into those that it `reads`. `results`
    are those that the step declares; by default only a step that declares any is held to them.
    """
    own = step.names("results") if step.get("results") is not None else results

    def visit(text: str, inner: FieldPath) -> None:
        field = str(inner[0]) if _is_text(inner) and reads(inner) else ""
        for odd, root in no_references(text):
            if field in _SEEN and (field == "script" or root == "params"):
                step.refuse(f"got {odd}, expected the name of a declared one in it", *inner)
        for key in references(text):
            problem, who = _problem(key, names, text, field, orders=field in graph.ORDERING)
            match key:
                case ("step", "results", name, *_) if own is not None and name not in own:
                    problem, who = _declared("result of this step", own), _in_script(field)
            if problem:
                refuse(step, f"got {written(key)}, {problem}", *inner, who=who)

    walk_strings(step.value, visit)


def _is_text(inner: FieldPath) -> bool:
    """Whether the field is a text of its own: of a variable the webhook reads the value alone."""
    match inner:
        case ("env", _, *part):
            return part == ["value"]
        case ("volumeMounts", _, part, *_):
            return part in ("name", "mountPath", "subPath")
    return True


def _takes(step: Field, template: Field, inner: FieldPath) -> bool:
    """Whether a step takes this field over from the stepTemplate."""
    if inner[0] == "env":
        return template.at(*inner[:2]).get("name") not in step.names("env")
    return inner[0] == "volumeMounts" or not step.get(str(inner[0]))


def _check_others(holder: Field, names: Names, part: str) -> None:
    """References outside steps, which the webhook does not look into."""

    def visit(text: str, inner: FieldPath) -> None:
        for key in references(text):
            orders = part == "sidecars" and inner[1] in graph.ORDERING
            problem, who = _problem(key, names, text, "", orders=orders)
            if problem:
                refuse(holder, f"got {written(key)}, {problem}", *inner, who=who)

    walk_strings(holder.value, visit)


def _problem(key: Key, names: Names, text: str, field: str, *, orders: bool) -> tuple[str, Who]:
    seen = field in _SEEN or (field == "onError" and key[0] == "params")
    looks: Who = "tekton" if seen else "nobody"
    around = names.around(key, orders)
    match key:
        case ("params", _, *_):
            place: Place = "list" if field in {"command", "args"} else "string"
            if not seen:
                return param_problem(key, text, "any", names.params, None, unseen="nobody")
            if key[1] in names.arrays and (wrong := _misused("array", key[2:], text, place)):
                return wrong, "tekton"
            return param_problem(key, text, place, names.params, names.admitted, unseen="embedded")
        case ("context", "taskRun" | "task" as of, name):
            return _one_of(name, _CONTEXT[of]), looks
        case ("context", of, *_) if of in _CONTEXT or (of in _OUTER and around is None):
            return "which a Task does not know", "nobody"
        case ("results", name, *rest) if around is None or field == "script":
            if name not in names.results:
                return _declared("result", names.results), _in_script(field)
            return "" if rest == ["path"] else "expected $(results.NAME.path)", "nobody"
        case ("workspaces", name, part) if field != "when" and around is None:
            if name not in names.workspaces:
                return _declared("workspace", names.workspaces), names.unbound
            return _one_of(part, _WORKSPACE), "nobody"
        case ("steps", step, "results" | "outputs" | "inputs" as part, *_):
            allowed = _STEP_RESULTS_IN if part == "results" else _ARTIFACTS_IN
            if field and field not in allowed:
                what = "results of steps" if part == "results" else "artifacts"
                places = (
                    "env, command and args" if part == "results" else "env, command, args, script"
                )
                by: Who = "tekton" if field in _SEEN_OF_STEPS else "nobody"
                return f"expected {what} only in {places}", by
            return _step(key, step, names), "nobody"
        case ("steps", step, "exitCode", "path"):
            return _step(key, step.removeprefix("step-"), names), "nobody"
        case ("tasks", _, *_) if around is None:
            return "which a Task of its own does not know; pass it as a param", "nobody"
    return around or ("", "nobody")


def param_problem(
    key: Key,
    text: str,
    place: Place,
    params: Mapping[str, Json],
    admitted: Mapping[str, Json] | None,
    *,
    unseen: Who,
) -> tuple[str, Who]:
    """What is wrong with a reference to a param, and who says so; empty where nothing is.

    `params` are those that have a value here, `admitted` those that the webhook takes, None where
    it does not look: `unseen` says who refuses it then.
    """
    name, rest = key[1], key[2:]
    seen: Who = unseen if admitted is None else "tekton"
    known = params if admitted is None else admitted
    if name not in known:
        return _declared("param", known), seen
    if problem := _no_key(known[name], rest):
        return problem, seen
    if len(rest) > 1:
        return "expected at most a param and a key of it", seen
    if problem := _misused(declared_type(known[name]), rest, text, place):
        return problem, seen
    if name not in params:
        return _declared("param", params), unseen
    if problem := _no_key(params[name], rest):
        return problem, unseen  # the run gives the object without it
    if problem := _misused(declared_type(params[name]), rest, text, place):
        return problem, "embedded"  # the webhook does not know the type, and the Task no such param
    length = params[name].get("length")
    if length is not None and rest and rest[0][1:-1].isdigit() and int(rest[0][1:-1]) >= length:
        return f"expected an index below {length}", "embedded"  # Tekton fails the run
    return "", seen


def _no_key(param: Json, rest: Key) -> str:
    """A key that the object does not have."""
    keys = param.get("properties")
    if not keys or not rest or rest[0][0] == "[" or rest[0] in keys:
        return ""
    return f"expected a key of the object {param['name']} ({', '.join(keys)})"


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
    if name in names.steps or names.around(key, False) is not None:
        return ""
    return f"expected a step of this Task ({', '.join(names.steps)})"


def _in_script(field: str) -> Who:
    return "tekton" if field == "script" else "nobody"
