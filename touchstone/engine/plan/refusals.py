"""In which words does Tekton end a run that was admitted but cannot begin?

Its own sequence of checks, with reasons and words from `reconcile` in pkg/reconciler/pipelinerun
and `prepare` in pkg/reconciler/taskrun. It is asked once something is known to be wrong, to tell
the run's condition; errors with file, line and column are for who writes the YAML.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.documents.yaml import Document
from touchstone.engine.language import graph
from touchstone.engine.language.substitute import Scope, references
from touchstone.engine.language.values import Misfits, misfits
from touchstone.engine.plan.manifests import planned_pipeline_run, planned_task_run
from touchstone.engine.plan.pipeline_run import PlannedPipelineRun, RunFailedError, outside_arrays
from touchstone.engine.plan.references import Definition, References, not_found
from touchstone.engine.plan.task_run import PlannedTaskRun
from touchstone.engine.rules import is_shaped
from touchstone.engine.text.fields import KINDS
from touchstone.errors import ManifestError

USER = "[User error] "
"""What Tekton puts before the message of an error that is the user's to mend."""

_DEFAULTS = {"PipelineRun": "PipelineValidationFailed", "TaskRun": "TaskRunValidationFailed"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A run's last condition."""

    reason: str
    message: str


def refusal(run: Document, found: References, error: ManifestError) -> Refusal:
    """Why `run`, of which `error` is known, cannot begin."""
    said = None
    if _is_shaped(run):
        said = _of_task_run(run, found) if run.kind == "TaskRun" else _of_pipeline_run(run, found)
    return said or _in_our_words(error, run.kind)


def refusal_of_pipeline_run(plan: PlannedPipelineRun, error: ManifestError) -> Refusal:
    """Why a plan, of which `error` is known, cannot begin."""
    return next(_refusals_of_pipeline_run(plan), None) or _in_our_words(error, "PipelineRun")


def refusal_of_task_run(planned: PlannedTaskRun, error: ManifestError) -> Refusal:
    """Why a planned TaskRun, of which `error` is known, failed."""
    return next(_refusals_of_task_run(planned), None) or _in_our_words(error, "TaskRun")


def _in_our_words(error: ManifestError, kind: str) -> Refusal:
    text = f"{error} ({error.hint})" if error.hint else str(error)
    return Refusal(_DEFAULTS.get(kind, "Failed"), text)


def _is_shaped(document: Document) -> bool:
    return document.kind in KINDS and is_shaped(document)


def _of_task_run(run: Document, found: References) -> Refusal | None:
    try:
        planned = planned_task_run(run, found)
    except ManifestError as error:
        words = not_found("Task", run.body["spec"].get("taskRef", {}))
        about = f"error when listing tasks for taskRun {run.name}: "
        return Refusal("TaskRunResolutionFailed", about + words if words else str(error))
    return next(_refusals_of_task_run(planned), None)


def _of_pipeline_run(run: Document, found: References) -> Refusal | None:
    try:
        plan = planned_pipeline_run(run, found)
    except ManifestError as error:
        reference = run.body["spec"].get("pipelineRef", {})
        words = not_found("Pipeline", reference)
        about = (
            f"error when getting Pipeline for PipelineRun {run.name}: tekton client cannot get"
            f" pipeline {reference.get('name')} from local cluster: "
        )
        return Refusal(
            "CouldntGetPipeline",
            f"Error retrieving pipeline for pipelinerun default/{run.name}:"
            f" {about + words if words else error}",
        )
    return next(_refusals_of_pipeline_run(plan), None) if _is_shaped(plan.document) else None


def _refusals_of_task_run(planned: PlannedTaskRun) -> Iterator[Refusal]:
    found = misfits(planned.spec.get("params", []), planned.params)
    about = f"{USER}invalid input params for task {planned.task_name}: "
    for problem, names in (
        ("missing values for these params which have no default values", found.missing),
        ("param types don't match the user-specified type", list(found.wrong_types)),
    ):
        if names:
            yield Refusal("TaskRunValidationFailed", f"{about}{problem}: {_go(names)}")
    if found.lacking_keys:
        text = "missing keys for these params which are required in ParamSpec's properties"
        yield Refusal("TaskRunValidationFailed", f"{about}{text} {_go(found.lacking_keys)}")
    for text in _outside_enum(found):
        yield Refusal("InvalidParamValue", USER + text)
    for name in _unbound(planned.spec, planned.bindings):
        text = f'declared workspace "{name}" is required but has not been bound'
        yield Refusal("TaskRunValidationFailed", USER + text)


def _refusals_of_pipeline_run(plan: PlannedPipelineRun) -> Iterator[Refusal]:
    found = misfits(plan.spec.get("params", []), plan.given)
    run, pipeline = f"PipelineRun default/{plan.name}", f"Pipeline default/{plan.pipeline}"
    if found.missing:
        yield Refusal(
            "ParameterMissing",
            f"{USER}{run} is missing some parameters required by {pipeline}:"
            f" pipelineRun missing parameters: {_go(found.missing)}",
        )
    if found.wrong_types:
        yield Refusal(
            "ParameterTypeMismatch",
            f"{USER}{run} parameters have mismatching types with {pipeline}'s parameters:"
            f" parameters have inconsistent types : {_go(list(found.wrong_types))}",
        )
    for text in _outside_enum(found):
        yield Refusal("InvalidParamValue", f"{USER}{run} parameters have invalid value: {text}")
    if found.lacking_keys:
        yield Refusal(
            "ObjectParameterMissKeys",
            f"{USER}{run} parameters is missing object keys required by {pipeline}'s parameters:"
            f" pipelineRun missing object keys for parameters: {_go(found.lacking_keys)}",
        )
    outside = outside_arrays(plan)
    if outside:
        yield Refusal(
            "ParamArrayIndexingInvalid",
            f"{USER}{run} failed validation: failed to validate {pipeline}'s parameter which has an"
            " invalid index while referring to an array: non-existent param"
            f" references:{_go(outside)}",
        )
    for name in _unbound(plan.spec, plan.bindings):
        yield Refusal(
            "InvalidWorkspaceBindings",
            f"{USER}{run} doesn't bind {pipeline}'s Workspaces correctly: pipeline requires"
            f' workspace with name "{name}" be provided by pipelinerun',
        )
    tasks = {item["name"]: item for item in plan.tasks()}
    for item in plan.run_specs:
        name = item["pipelineTaskName"]
        if name not in tasks:
            yield Refusal(
                "InvalidTaskRunSpecs",
                f"{USER}{run} doesn't define taskRunSpecs correctly: pipelineRun's taskrunSpecs"
                f' defined wrong taskName: "{name}", does not exist in Pipeline',
            )
    yield from _wrong_references(plan, tasks)


def _wrong_references(
    plan: PlannedPipelineRun, tasks: Mapping[str, Mapping[str, Any]]
) -> Iterator[Refusal]:
    """Tasks that are not there, and results that a task does not declare."""
    results: dict[str, Collection[str]] = {}
    referred: dict[str, Definition] = {}
    for name, task in tasks.items():
        try:
            spec = task.get("taskSpec")
            if "taskRef" in task and "$(" not in str(task["taskRef"]):
                definition = plan.definition("Task", task, Scope())
                spec = definition.spec if _is_shaped(definition.document) else None
                if spec is not None:
                    referred[name] = definition
        except RunFailedError as failed:
            yield Refusal(failed.reason, str(failed))
            return
        if spec is not None:
            results[name] = [item["name"] for item in spec.get("results", [])]
    for name, task in tasks.items():
        for _, of, _, result, *_ in graph.result_references(task):
            problem = _undeclared(result, of, results)
            if problem:
                text = f'invalid result reference in pipeline task "{name}": {problem}'
                yield Refusal("InvalidTaskResultReference", text)
    for item in plan.spec.get("results", []):
        for key in references(item["value"]):
            if key[0] in {"tasks", "finally"} and len(key) > 3:
                problem = _undeclared(key[3], key[1], results)
                if problem:
                    yield Refusal(
                        "InvalidPipelineResultReference",
                        f'Failed to resolve pipeline result reference for "{plan.name}" with error'
                        f' invalid pipeline result "{item["name"]}": {problem}',
                    )
    for name, definition in referred.items():
        given = _given_names(tasks[name])
        missing = [
            item["name"]
            for item in definition.spec.get("params", [])
            if "default" not in item and item["name"] not in given
        ]
        if missing:
            yield Refusal(
                "PipelineValidationFailed",
                f"{USER}Validation failed for pipelinerun {plan.name} with error invalid input"
                f" params for task {definition.name}: missing values for these params which have no"
                f" default values: {_go(missing)}",
            )


def _given_names(task: Mapping[str, Any]) -> set[str]:
    """The params that a pipeline task gives, those of its matrix too."""
    matrix = task.get("matrix", {})
    included = [param for item in matrix.get("include", []) for param in item.get("params", [])]
    return {
        item["name"] for item in [*task.get("params", []), *matrix.get("params", []), *included]
    }


def _undeclared(result: str, task: str, results: Mapping[str, Collection[str]]) -> str:
    if task in results and result not in results[task]:
        return f'"{result}" is not a named result returned by pipeline task "{task}"'
    return ""


def _outside_enum(found: Misfits) -> Iterator[str]:
    for name, value in found.outside_enum.items():
        yield f"param `{name}` value: {value} is not in the enum list"


def _unbound(spec: Mapping[str, Any], bindings: Collection[str]) -> list[str]:
    declared = spec.get("workspaces", [])
    return [w["name"] for w in declared if w["name"] not in bindings and not w.get("optional")]


def _go(value: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    """A list or map as Go prints it."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_go(item)}' for key, item in sorted(value.items()))}]"
    return f"[{' '.join(value)}]"
