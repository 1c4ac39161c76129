"""Tekton's admission rules for Tasks, TaskRuns and what Pipelines embed of them.

Facts from pkg/apis/pipeline/v1/*_validation.go of tektoncd/pipeline; every rule goes on after a
problem, so that all of them are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from touchstone.engine.load import FieldPath
from touchstone.engine.substitute import Key, references, walk_strings
from touchstone.engine.values import as_value, declared_type, type_of

if TYPE_CHECKING:
    from touchstone.engine.problems import Report

Json = Mapping[str, Any]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PARAM = re.compile(r"[_a-zA-Z][_a-zA-Z0-9.-]*")
_OBJECT = re.compile(r"[_a-zA-Z][_a-zA-Z0-9-]*")
_RESULT = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_]*)?[A-Za-z0-9]")
_CONTEXT = {"taskRun": {"name", "namespace", "uid"}, "task": {"name", "retry-count"}}
_NOT_WITH_REF = (
    "image", "command", "args", "script", "workingDir", "env", "volumeMounts", "results",
)  # fmt: skip
_RESERVED_SIDECAR = "tekton-log-results"
_BINDINGS = (
    "volumeClaimTemplate", "persistentVolumeClaim", "emptyDir", "configMap", "secret", "projected",
    "csi",
)  # fmt: skip


def check_metadata(report: Report) -> None:
    """An object's name is a DNS-1123 subdomain; a run may leave it to generateName."""
    metadata = report.document.body["metadata"]
    name = metadata.get("name", "")
    if not name and metadata.get("generateName"):
        return
    if not name:
        report.add("got no name, expected one", ("metadata",))
    elif len(name) > 63 or not _SUBDOMAIN.fullmatch(name):
        report.add(
            f"got {name!r}, expected lower case letters, digits, - and ., at most 63",
            ("metadata", "name"),
        )


def check_task_object(report: Report) -> None:
    """A Task of its own, which knows no params but those it declares."""
    spec = report.document.body["spec"]
    check_task(report, spec, ("spec",), spec.get("params", []))


def check_task_run(report: Report) -> None:
    """A TaskRun; its params are known inside a taskSpec it embeds."""
    spec = report.document.body["spec"]
    check_exactly_one(report, spec, ("spec",), ("taskRef", "taskSpec"))
    check_names(report, spec.get("params", []), ("spec", "params"), fold=True)
    check_bindings(report, spec)
    if "taskSpec" in spec:
        task = spec["taskSpec"]
        check_task(report, task, ("spec", "taskSpec"), known_params(task, spec))
    if spec.get("retries", 0) < 0:
        report.add(f"got {spec['retries']}, expected 0 or more", ("spec", "retries"))
    if "breakpoints" in spec.get("debug", {}):
        _check_breakpoints(report, spec["debug"]["breakpoints"])


def _check_breakpoints(report: Report, breakpoints: Json) -> None:
    where: FieldPath = ("spec", "debug", "breakpoints")
    if "onFailure" not in breakpoints:
        report.add("got no onFailure, expected enabled: Tekton admits no beforeSteps alone", where)
    before = breakpoints.get("beforeSteps", [])
    for index, step in enumerate(before):
        if step in before[:index]:
            report.add(
                f"got {step!r} twice, expected steps to differ", (*where, "beforeSteps", index)
            )


def known_params(*holders: Json) -> list[Json]:
    """Params declared or given by any of these, the first one's declaration winning."""
    found: dict[str, Json] = {}
    for holder in holders:
        for item in holder.get("params", []):
            given = {"name": item["name"], "default": item["value"]} if "value" in item else item
            keys = given["default"] if isinstance(given.get("default"), Mapping) else {}
            known = found.get(item["name"], given)
            properties = {
                **dict.fromkeys(keys, {"type": "string"}),
                **given.get("properties", {}),
                **known.get("properties", {}),
            }
            found[item["name"]] = {**known, "properties": properties} if properties else known
    return list(found.values())


def check_task(report: Report, spec: Json, path: FieldPath, params: Sequence[Json]) -> None:
    """A Task spec, inside which `params` are known."""
    if not spec.get("steps"):
        report.add("got no step, expected at least one", (*path, "steps"))
    check_params(report, spec.get("params", []), (*path, "params"))
    for part in ("workspaces", "volumes"):
        if isinstance(spec.get(part, []), list):
            check_names(report, spec.get(part, []), (*path, part))
    _check_results(report, spec.get("results", []), (*path, "results"))
    named = [step for step in spec.get("steps", []) if step.get("name")]
    check_names(report, spec.get("steps", []), (*path, "steps"))
    template = spec.get("stepTemplate", {})
    workspaces = {item["name"] for item in spec.get("workspaces", [])}
    for index, step in enumerate(spec.get("steps", [])):
        where: FieldPath = (*path, "steps", index)
        _check_step(report, {**template, **step}, step, where)
        for place, item in enumerate(step.get("workspaces", [])):
            if item["name"] not in workspaces:
                report.add(
                    f"got {item['name']!r}, expected a workspace the Task declares",
                    (*where, "workspaces", place, "name"),
                )
        _check_references(report, step, where, spec, params, [item["name"] for item in named])
    sidecars = spec.get("sidecars", [])
    for index, sidecar in enumerate(sidecars if isinstance(sidecars, list) else []):
        if isinstance(sidecar, Mapping):
            _check_sidecar(report, sidecar, (*path, "sidecars", index))


def check_params(report: Report, params: Sequence[Json], path: FieldPath) -> None:
    """Declared params: names, types, defaults and enums."""
    check_names(report, params, path)
    for index, param in enumerate(params):
        where, kind = (*path, index), declared_type(param)
        pattern = _OBJECT if kind == "object" else _PARAM
        if not pattern.fullmatch(param["name"]):
            report.add(
                f"got {param['name']!r}, expected letters, digits, -, _"
                f"{'' if kind == 'object' else ' and .'}, a letter or _ first",
                (*where, "name"),
            )
        if kind == "object" and not param.get("properties"):
            report.add("got an object without properties, expected its keys", where)
        for key, item in param.get("properties", {}).items():
            if item.get("type", "string") != "string":
                report.add(
                    f"got {item['type']}, expected string", (*where, "properties", key, "type")
                )
        _check_default(report, param, kind, where)


def _check_default(report: Report, param: Json, kind: str, where: FieldPath) -> None:
    allowed = param.get("enum", [])
    if allowed and kind != "string":
        report.add(f"got an enum of {kind}s, expected it for strings only", (*where, "enum"))
    for value in sorted({value for value in allowed if allowed.count(value) > 1}):
        report.add(f"got {value!r} twice, expected values to differ", (*where, "enum"))
    if "default" not in param:
        return
    default = as_value(param["default"])
    if type_of(default) != kind:
        report.add(f"got {type_of(default)}, expected {kind}", (*where, "default"))
    elif allowed and default not in allowed:
        report.add(f"got {default!r}, expected one of {', '.join(allowed)}", (*where, "default"))


def _check_results(report: Report, results: Sequence[Json], path: FieldPath) -> None:
    check_names(report, results, path)
    for index, result in enumerate(results):
        if not _RESULT.fullmatch(result["name"]):
            report.add(
                f"got {result['name']!r}, expected letters, digits, - and _, a letter or digit"
                " first and last",
                (*path, index, "name"),
            )
        if result.get("type") == "object" and not result.get("properties"):
            report.add("got an object without properties, expected its keys", (*path, index))
        value = result.get("value", "")
        if value and not (
            isinstance(value, str)
            and re.fullmatch(r"\$\(steps\.[a-z0-9-]+\.results\.[\w-]+(\[\*\])?\)", value)
        ):
            report.add(
                f"got {value!r}, expected $(steps.STEP.results.RESULT)", (*path, index, "value")
            )


def _check_step(report: Report, merged: Json, step: Json, where: FieldPath) -> None:
    name = step.get("name", "")
    if name and not _LABEL.fullmatch(name):
        report.add(
            f"got {name!r}, expected a DNS label: lower case letters, digits and -, at most 63",
            (*where, "name"),
        )
    if "ref" in step:
        for other in _NOT_WITH_REF:
            if step.get(other):
                report.add(f"got {other} beside ref, expected only ref", (*where, other))
    else:
        if "params" in step:
            report.add("got params without ref, expected them only with ref", (*where, "params"))
        if not merged.get("image"):
            report.add("got no image, expected one", where)
        if merged.get("script") and merged.get("command"):
            report.add("got script and command, expected only one of them", (*where, "script"))
    on_error = step.get("onError", "continue")
    if on_error not in {"continue", "stopAndFail"} and not on_error.startswith("$(params."):
        report.add(f"got {on_error!r}, expected continue or stopAndFail", (*where, "onError"))
    _check_results(report, step.get("results", []), (*where, "results"))
    check_when(report, step.get("when", []), (*where, "when"))
    mounts = step.get("volumeMounts", [])
    for index, mount in enumerate(mounts if isinstance(mounts, list) else []):
        target = str(mount.get("mountPath", "")) if isinstance(mount, Mapping) else ""
        if target.startswith("/tekton/") and not target.startswith("/tekton/home"):
            report.add(
                f"got {target!r}, expected a path outside /tekton/",
                (*where, "volumeMounts", index, "mountPath"),
            )


def _check_sidecar(report: Report, sidecar: Json, where: FieldPath) -> None:
    if sidecar.get("name") == _RESERVED_SIDECAR:
        report.add(f"got {_RESERVED_SIDECAR!r}, which is reserved", (*where, "name"))
    if not sidecar.get("image"):
        report.add("got no image, expected one", where)
    if sidecar.get("script") and sidecar.get("command"):
        report.add("got script and command, expected only one of them", (*where, "script"))


def _check_references(
    report: Report,
    step: Json,
    where: FieldPath,
    spec: Json,
    params: Sequence[Json],
    steps: Sequence[str],
) -> None:
    by_name = {param["name"]: param for param in params}
    results = {item["name"] for item in spec.get("results", [])}
    own = {item["name"] for item in step.get("results", [])}

    def visit(text: str, inner: FieldPath) -> None:
        if not inner or inner[0] in {"results", "when", "displayName", "params"}:
            return
        for key in references(text):
            problem = ""
            match key:
                case ("params", name, *rest):
                    whole = text == written(key)
                    problem = param_problem(by_name, name, rest)
                    problem = problem or _misused(by_name[name], rest, inner[0], whole=whole)
                case ("context", "taskRun" | "task" as of, name) if name not in _CONTEXT[of]:
                    problem = f"expected one of {', '.join(sorted(_CONTEXT[of]))}"
                case ("results", name, *_) if inner[0] == "script" and name not in results:
                    problem = f"expected a declared result ({', '.join(sorted(results)) or 'none'})"
                case ("step", "results", name, *_) if inner[0] == "script" and name not in own:
                    problem = "expected a result this step declares"
                case ("steps", _, "results", *_) if inner[0] not in {"env", "command", "args"}:
                    problem = "expected results of steps only in env, command and args"
            if problem:
                report.add(f"got {written(key)}, {problem}", (*where, *inner))

    walk_strings(step, visit)


def param_problem(params: Mapping[str, Json], name: str, rest: Sequence[str]) -> str:
    """What is wrong with a reference to a param or to a key of it; empty where nothing is."""
    dotted = ".".join((name, *rest))
    if name not in params and dotted not in params:
        return f"expected a declared param ({', '.join(params) or 'none is declared'})"
    keys = params.get(name, {}).get("properties")
    if keys and rest and not rest[0].startswith("[") and rest[0] not in keys:
        return f"expected a key of the object {name} ({', '.join(keys)})"
    return ""


def _misused(param: Json, rest: Sequence[str], field: Any, *, whole: bool) -> str:
    """An array or object where only a string makes sense."""
    kind = declared_type(param)
    if rest and rest[0] != "[*]":
        return ""
    if kind == "object":
        return "which is an object; expected one of its keys"
    if kind == "array" and field not in {"command", "args"}:
        return "which is an array; expected it in command or args, or one item of it"
    if kind == "array" and not whole:
        return "which is an array; expected it to stand alone"
    return ""


def written(key: Key) -> str:
    """A reference as it is written in YAML."""
    text = key[0]
    for part in key[1:]:
        text += part if part.startswith("[") else f".{part}"
    return f"$({text})"


def check_when(report: Report, expressions: Sequence[Json], path: FieldPath) -> None:
    """When expressions have values; `cel` stands alone."""
    for index, item in enumerate(expressions):
        if "cel" in item and len(item) > 1:
            report.add("got cel beside other fields, expected it alone", (*path, index))
        elif "cel" not in item and not item.get("values"):
            report.add("got no values, expected at least one", (*path, index))


def check_exactly_one(report: Report, holder: Json, path: FieldPath, fields: Iterable[str]) -> None:
    """Exactly one of these fields is there."""
    wanted = list(fields)
    found = [name for name in wanted if name in holder]
    if len(found) != 1:
        report.add(
            f"got {' and '.join(found) or 'none'} of {', '.join(wanted)}, expected exactly one",
            (*path, found[1]) if found else path,
        )


def check_names(
    report: Report, items: Sequence[Json], path: FieldPath, *, fold: bool = False
) -> None:
    """Names in a list differ; with `fold` also when upper and lower case are the same."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("name", "") if isinstance(item, Mapping) else ""
        key = name.lower() if fold else name
        if key and key in seen:
            report.add(f"got {name!r} twice, expected names to differ", (*path, index, "name"))
        seen.add(key)


def check_bindings(report: Report, spec: Json) -> None:
    """A run's workspace bindings: each name once, one volume each."""
    bindings = spec.get("workspaces", [])
    check_names(report, bindings, ("spec", "workspaces"))
    for index, binding in enumerate(bindings):
        found = [name for name in _BINDINGS if name in binding]
        if len(found) != 1:
            report.add(
                f"got {' and '.join(found) or 'no volume'}, expected exactly one volume",
                ("spec", "workspaces", index),
            )


def _rules() -> dict[str, Callable[[Report], None]]:
    from touchstone.engine import admission_pipeline as pipelines

    return {
        "Task": check_task_object,
        "TaskRun": check_task_run,
        "Pipeline": pipelines.check_pipeline_object,
        "PipelineRun": pipelines.check_pipeline_run,
    }


def rule_for(kind: str) -> Callable[[Report], None] | None:
    """The rules of a kind; None for a kind whose fields alone are known."""
    return _rules().get(kind)
