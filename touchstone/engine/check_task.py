"""Do a Task's own references and names hold together?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from touchstone.engine.images import stand_for
from touchstone.engine.load import Document, FieldPath
from touchstone.engine.remote import REFUSED
from touchstone.engine.steps import name_of
from touchstone.engine.substitute import Key, references, walk_strings
from touchstone.engine.values import as_value, declared_type, type_of
from touchstone.engine.when import check_cel
from touchstone.errors import ManifestError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_TASK_CONTEXT = {"taskRun": ("name", "namespace", "uid"), "task": ("name", "retry-count")}
_PIPELINE_CONTEXT = ("pipelineRun", "pipeline", "pipelineTask")
_WORKSPACE_FIELDS = {"path", "bound", "claim", "volume"}

Known = Callable[[Key], bool]
"""Whether a reference is known from around an embedded Task."""


def check_task_run(document: Document, others: Sequence[Document]) -> None:
    """A TaskRun: names exactly one Task, binds workspaces once, gives params once."""
    spec = document.body["spec"]
    check_one_of(document, ("spec",), ("taskRef", "taskSpec"))
    if "taskRef" in spec:
        check_reference(document, ("spec", "taskRef"), spec["taskRef"])
    check_unique(document, ("spec", "params"))
    check_bindings(document)
    if "taskSpec" in spec:
        check_task(document, ("spec", "taskSpec"), _given_by(spec))
        task: Mapping[str, Any] = spec["taskSpec"]
    else:
        named = [d for d in others if d.kind == "Task" and d.name == spec["taskRef"].get("name")]
        if not named:
            return
        task = named[0].body["spec"]
    given = {item["name"]: item["value"] for item in spec.get("params", [])}
    check_given_params(document, ("spec",), task.get("params", []), given, extra="taskSpec" in spec)
    check_bound_workspaces(document, ("spec",), task.get("workspaces", []))


def _given_by(spec: Mapping[str, Any]) -> Known:
    """What an embedded Task may refer to without declaring it: the run's own params, workspaces."""
    names = {
        part: {item["name"] for item in spec.get(part, [])} for part in ("params", "workspaces")
    }
    return lambda key: len(key) > 1 and key[1] in names.get(key[0], set())


def check_task(document: Document, path: FieldPath, known: Known | None = None) -> None:
    """The Task spec at `path`; `known` tells which references an embedded one may also make."""
    spec = at(document, path)
    if not spec["steps"]:
        raise document.error("got no step, expected at least one", (*path, "steps"))
    for part in ("params", "results", "workspaces"):
        check_unique(document, (*path, part))
    check_param_specs(document, path)
    names: list[str] = []
    for index, step in enumerate(spec["steps"]):
        _check_step(document, (*path, "steps", index), step, spec)
        name = name_of(step, index)
        if name in names:
            raise document.error(
                f"got the step name {name!r} twice", (*path, "steps", index, "name")
            )
        names.append(name)

    def visit(text: str, where: FieldPath) -> None:
        for key in references(text):
            if key[0] == "workspaces" and "when" in where:
                continue  # as in Tekton, where an undeclared one is just never bound
            problem = _problem(key, spec, names)
            if problem and not (known and known(key)):
                raise document.error(f"got $({shown(key)}), {problem}", (*path, *where))

    for part in ("steps", "stepTemplate", "sidecars", "volumes"):
        if part in spec:
            walk_strings(spec[part], lambda text, where, p=part: visit(text, (p, *where)))  # type: ignore[misc]
    for index, result in enumerate(spec.get("results", [])):
        walk_strings(
            result.get("value", ""),
            lambda text, where, i=index: visit(text, ("results", i, "value", *where)),  # type: ignore[misc]
        )


def _check_step(
    document: Document, path: FieldPath, step: Mapping[str, Any], spec: Mapping[str, Any]
) -> None:
    name = step.get("name", "")
    if name and not _NAME.fullmatch(name):
        raise document.error(
            f"got {name!r}, expected lower case letters, digits and -", (*path, "name")
        )
    template = spec.get("stepTemplate", {})
    if "script" in step and "command" in step:
        raise document.error("got script and command, expected only one of them", (*path, "script"))
    image = step.get("image") or template.get("image", "")
    starts = step.get("script") or step.get("command") or template.get("command") or "ref" in step
    if not starts and "$(" not in image and not stand_for(image).entrypoint:
        raise document.error(
            "got neither command nor script, expected one of them",
            path,
            hint="the entrypoint of an image is not known on this machine; write it out",
        )
    on_error = step.get("onError", "continue")
    if on_error not in {"continue", "stopAndFail"} and "$(" not in on_error:
        raise document.error(
            f"got {on_error!r}, expected continue or stopAndFail", (*path, "onError")
        )
    if "ref" in step:
        check_reference(document, (*path, "ref"), step["ref"])
    check_when(document, path, step)
    declared = {item["name"] for item in spec.get("workspaces", [])}
    for index, workspace in enumerate(step.get("workspaces", [])):
        if workspace["name"] not in declared:
            raise document.error(
                f"got {workspace['name']!r}, expected a workspace the Task declares",
                (*path, "workspaces", index, "name"),
            )
    if "results" in step:
        check_unique(document, (*path, "results"))


def _problem(key: Key, spec: Mapping[str, Any], steps: Sequence[str]) -> str:
    """What is wrong with a reference inside a Task; empty where it is right or not Tekton's."""
    match key:
        case ("params", name, *_):
            return _undeclared("param", name, spec.get("params", []))
        case ("results", name, "path"):
            return _undeclared("result", name, spec.get("results", []))
        case ("results", *_):
            return "expected $(results.NAME.path)"
        case ("workspaces", name, field):
            if field not in _WORKSPACE_FIELDS:
                return f"expected one of {', '.join(sorted(_WORKSPACE_FIELDS))} of a workspace"
            return _undeclared("workspace", name, spec.get("workspaces", []))
        case ("context", of, *rest) if of in _TASK_CONTEXT:
            return "" if rest and rest[0] in _TASK_CONTEXT[of] else "which a Task does not know"
        case ("context", of, *_) if of in _PIPELINE_CONTEXT:
            return "which a Task does not know"
        case ("steps", step, "exitCode", "path"):
            return "" if step.removeprefix("step-") in steps else _not_step(steps)
        case ("steps", step, "results", *_):
            return "" if step in steps else _not_step(steps)
        case ("steps", step, "outputs" | "inputs", _):
            return "" if step in steps else _not_step(steps)
        case ("tasks", _, *_):
            return "which a Task of its own does not know; pass it as a param"
    return ""


def _undeclared(what: str, name: str, declared: Iterable[Mapping[str, Any]]) -> str:
    names = [item["name"] for item in declared]
    if name in names:
        return ""
    # `$(params.object.key)` and dotted names alike begin with a declared name.
    return f"expected a declared {what} ({', '.join(names) or 'none is declared'})"


def _not_step(steps: Sequence[str]) -> str:
    return f"expected a step of this Task ({', '.join(steps)})"


def check_param_specs(document: Document, path: FieldPath) -> None:
    """Declared params: the default has the declared type and is in the enum."""
    for index, spec in enumerate(at(document, path).get("params", [])):
        where = (*path, "params", index)
        if "default" not in spec:
            continue
        kind, value = declared_type(spec), as_value(spec["default"])
        if type_of(value) != kind:
            raise document.error(f"got {type_of(value)}, expected {kind}", (*where, "default"))
        if spec.get("enum") and value not in spec["enum"]:
            raise document.error(
                f"got {value!r}, expected one of {', '.join(spec['enum'])}", (*where, "default")
            )


def check_given_params(
    document: Document,
    path: FieldPath,
    specs: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    *,
    extra: bool,
) -> None:
    """Values against declarations: all there, of the right type; undeclared only with `extra`."""
    declared = {spec["name"]: spec for spec in specs}
    positions = [item["name"] for item in at(document, path).get("params", [])]
    for name, value in given.items():
        where = (*path, "params", positions.index(name)) if name in positions else path
        if name not in declared:
            if extra:
                continue
            raise document.error(
                f"got the param {name!r}, expected one that is declared"
                f" ({', '.join(declared) or 'none is'})",
                (*where, "name"),
            )
        kind, got = declared_type(declared[name]), type_of(as_value(value))
        whole = isinstance(value, str) and value.startswith("$(") and value.endswith(")")
        if got != kind and not whole:
            raise document.error(f"got {got}, expected {kind}", (*where, "value"))
        allowed = declared[name].get("enum")
        if allowed and "$(" not in str(value) and value not in allowed:
            raise document.error(
                f"got {value!r}, expected one of {', '.join(allowed)}", (*where, "value")
            )
    missing = [
        name for name, spec in declared.items() if "default" not in spec and name not in given
    ]
    if missing:
        raise document.error(
            f"got no value for param {', '.join(missing)}, which has no default", path
        )


def check_bindings(document: Document) -> None:
    """Workspace bindings of a run: each name once, exactly one volume each."""
    check_unique(document, ("spec", "workspaces"))
    kinds = (
        "emptyDir", "volumeClaimTemplate", "persistentVolumeClaim", "secret", "configMap",
        "projected",
    )  # fmt: skip
    for index, binding in enumerate(document.body["spec"].get("workspaces", [])):
        check_one_of(document, ("spec", "workspaces", index), kinds)
        del binding


def check_bound_workspaces(
    document: Document, path: FieldPath, declared: Sequence[Mapping[str, Any]]
) -> None:
    """Every workspace that is not optional is bound."""
    bound = {item["name"] for item in at(document, path).get("workspaces", [])}
    for workspace in declared:
        if workspace["name"] not in bound and not workspace.get("optional"):
            raise document.error(
                f"got no binding for workspace {workspace['name']}, which is not optional", path
            )


def check_reference(document: Document, path: FieldPath, reference: Mapping[str, Any]) -> None:
    """A taskRef, pipelineRef or ref gives a name, or a resolver that can be had here."""
    for field in ("apiVersion", "kind") if path[-1] == "taskRef" else ():
        # Tekton finds a Task by its kind in whatever case, singular or plural.
        own = ("tekton.dev/v1",) if field == "apiVersion" else ("task", "tasks")
        if field in reference and str(reference[field]).lower() not in own:
            raise document.error(
                f"cannot be honored here: a custom task ({reference[field]}) becomes a CustomRun,"
                " which needs a controller of its own",
                (*path, field),
            )
    check_one_of(document, path, ("name", "resolver"))
    resolver = reference.get("resolver", "cluster")
    if resolver in REFUSED:
        raise document.error(f"cannot be honored here: {REFUSED[resolver]}", (*path, "resolver"))


def check_when(document: Document, path: FieldPath, of: Mapping[str, Any]) -> None:
    """Each when expression is either CEL that compiles, or input, operator and values."""
    for index, item in enumerate(of.get("when", [])):
        where = (*path, "when", index)
        if "cel" in item:
            if len(item) > 1:
                raise document.error("got cel and more, expected it to stand alone", where)
            try:
                check_cel(item["cel"])
            except ManifestError as error:
                raise document.error(str(error), (*where, "cel")) from None
            continue
        for field in ("input", "operator", "values"):
            if field not in item:
                raise document.error(
                    f"got a when expression without {field}, expected it to have one", where
                )


def check_one_of(document: Document, path: FieldPath, fields: Sequence[str]) -> None:
    """Exactly one of these fields is there."""
    found = [field for field in fields if field in at(document, path)]
    if len(found) != 1:
        raise document.error(
            f"got {' and '.join(found) or 'none'} of {', '.join(fields)}, expected exactly one",
            (*path, found[1]) if found else path,
        )


def check_unique(document: Document, path: FieldPath) -> None:
    """The names in a list differ; a list that is not there has none."""
    try:
        items = at(document, path)
    except KeyError:
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item["name"] in seen:
            raise document.error(
                f"got {item['name']!r} twice, expected names to differ", (*path, index, "name")
            )
        seen.add(item["name"])


def at(document: Document, path: FieldPath) -> Any:
    """The value at `path`. Raises KeyError."""
    value: Any = document.body
    for part in path:
        value = value[part]
    return value


def shown(key: Key) -> str:
    """A reference as it is written."""
    text = key[0]
    for part in key[1:]:
        text += part if part.startswith("[") else f".{part}"
    return text
