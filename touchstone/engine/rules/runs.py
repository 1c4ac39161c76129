"""Can this TaskRun or PipelineRun start? (taskrun_, pipelinerun_ and workspace_validation.go)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from touchstone.documents.naming import check_one_of, check_unique
from touchstone.documents.problems import Field
from touchstone.documents.yaml import Document
from touchstone.engine.language import durations
from touchstone.engine.language.graph import is_result
from touchstone.engine.language.substitute import references
from touchstone.engine.rules.params import check_bound, check_given, known_params
from touchstone.engine.rules.pipeline import check_pipeline
from touchstone.engine.rules.refs import check_reference
from touchstone.engine.rules.task import check_task
from touchstone.engine.rules.variables import task_names, written

_VOLUMES = (
    "emptyDir", "volumeClaimTemplate", "persistentVolumeClaim", "secret", "configMap",
    "projected", "csi",
)  # fmt: skip
_DEFAULT_TIMEOUT = "1h0m0s"


def check_task_run(document: Field, others: Sequence[Document]) -> None:
    """A TaskRun; its params and workspaces are known inside a taskSpec it embeds."""
    run = document.at("spec")
    check_one_of(run, "taskRef", "taskSpec")
    _check_inputs(run)
    _check_specs(run)
    _check_debug(run.at("debug", "breakpoints"))
    if run.get("retries", 0) < 0:
        run.refuse(f"got {run.get('retries')}, expected 0 or more", "retries")
    if run.get("statusMessage") and not run.get("status"):
        run.refuse("got a message without status, expected both or neither", "statusMessage")
    task = run.at("taskSpec")
    if "taskRef" in run.value:
        check_reference(run.at("taskRef"))
    if task.value is not None:
        params = known_params(task.value, run.value)
        check_task(task, task_names(task, params, params, run.names("workspaces")))
    _check_against(run, task.value or _named("Task", run.at("taskRef"), others))


def _named(kind: str, ref: Field, others: Sequence[Document]) -> Mapping[str, Any] | None:
    """The spec of the Task or Pipeline that a reference names, where it is among the documents."""
    name = None if ref.get("resolver") else ref.get("name")
    found = [other for other in others if other.kind == kind and other.name == name]
    return found[0].body["spec"] if found else None


def check_pipeline_run(document: Field, others: Sequence[Document]) -> None:
    """A PipelineRun; its params and workspaces reach into a pipelineSpec it embeds."""
    run = document.at("spec")
    check_one_of(run, "pipelineRef", "pipelineSpec")
    _check_inputs(run)
    _check_timeouts(run)
    for param in run.each("params"):
        for key in references(param.get("value")):
            if is_result(key):
                param.refuse(
                    f"got {written(key)}, expected no result of a task in a run's param", "value"
                )
    for spec in run.each("taskRunSpecs"):
        _check_specs(spec)
    if "pipelineRef" in run.value:
        check_reference(run.at("pipelineRef"))
    pipeline = run.at("pipelineSpec")
    if pipeline.value is not None:
        check_pipeline(pipeline, others, run=run.value)
    definition = pipeline.value or _named("Pipeline", run.at("pipelineRef"), others)
    _check_against(run, definition)
    _check_configured(run, definition)


def _check_configured(run: Field, pipeline: Mapping[str, Any] | None) -> None:
    """taskRunSpecs name tasks of the pipeline; Tekton fails a run where one does not."""
    if pipeline is None:
        return
    tasks = [task["name"] for part in ("tasks", "finally") for task in pipeline.get(part, [])]
    for spec in run.each("taskRunSpecs"):
        if spec.get("pipelineTaskName") not in tasks:
            spec.refuse(
                f"got {spec.get('pipelineTaskName')!r}, expected a task of the pipeline"
                f" ({', '.join(tasks)})",
                "pipelineTaskName",
                by="embedded",
            )


def _check_inputs(run: Field) -> None:
    """Params and workspace bindings: each once, one volume for each workspace."""
    check_unique(run.each("params"), fold=True)
    check_unique(run.each("workspaces"), fold=run.document.kind == "TaskRun")
    for binding in run.each("workspaces"):
        check_one_of(binding, *_VOLUMES)
        if "projected" in binding.value and not binding.at("projected").get("sources"):
            binding.refuse("got no source, expected at least one", "projected", "sources")


def _check_against(run: Field, spec: Mapping[str, Any] | None) -> None:
    """What the run gives against what it runs declares."""
    if spec is None:
        return
    given = {item["name"]: item["value"] for item in run.get("params", [])}
    check_given(run, spec.get("params", []), given)
    check_bound(run, spec.get("workspaces", []), run.names("workspaces"))


def _check_specs(holder: Field) -> None:
    """stepSpecs and sidecarSpecs: named, each once; resources of steps or of the Task, not both."""
    for part in ("stepSpecs", "sidecarSpecs"):
        check_unique(holder.each(part), fold=True)
        for item in holder.each(part):
            if not item.get("name"):
                item.refuse("got no name, expected one")
    if holder.get("computeResources") is not None:
        for item in holder.each("stepSpecs"):
            if item.get("computeResources"):
                item.refuse(
                    "got resources for a step and for the Task, expected only one of them",
                    "computeResources",
                )


def _check_debug(breakpoints: Field) -> None:
    """Breakpoints: onFailure is `enabled`; no step is named twice."""
    if breakpoints.value is None:
        return
    if (on_failure := breakpoints.get("onFailure", "")) != "enabled":
        breakpoints.refuse(
            f"got {on_failure!r}, expected enabled", "onFailure", runs_here=not on_failure
        )
    steps = breakpoints.get("beforeSteps") or []
    for index, step in enumerate(steps):
        if step in steps[:index]:
            breakpoints.refuse(f"got {step!r} twice, expected it once", "beforeSteps", index)


def _check_timeouts(run: Field) -> None:
    """`tasks`, `finally` and the sum of both fit into `pipeline`; 0 is no limit."""
    given = {name: durations.seconds(text) for name, text in run.get("timeouts", {}).items()}
    texts = {"pipeline": _DEFAULT_TIMEOUT, **run.get("timeouts", {})}
    whole = durations.seconds(texts["pipeline"])
    for name in ("tasks", "finally"):
        if name in given and whole and not 0 < given[name] <= whole:
            run.refuse(
                f"got {texts[name]!r}, expected at most the pipeline's {texts['pipeline']}",
                "timeouts",
                name,
            )
    parts = [given[name] for name in ("tasks", "finally") if name in given]
    # As in Tekton the sum is held against the pipeline's limit even where that is 0, no limit.
    if len(parts) == 2 and sum(parts) > whole:
        run.refuse(
            f"got tasks + finally above the pipeline's {texts['pipeline']}, expected at most that",
            "timeouts",
        )
    limit = texts.get("tasks", texts["pipeline"])
    for spec in run.each("taskRunSpecs"):
        if 0 < durations.seconds(limit) < durations.seconds(spec.get("timeout", "0")):
            spec.refuse(
                f"got {spec.get('timeout')!r}, expected at most {limit} of all tasks", "timeout"
            )
