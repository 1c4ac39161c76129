"""What does a run's manifest ask for, with all that it refers to?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from touchstone.documents.yaml import Document, FieldPath
from touchstone.engine.language import durations
from touchstone.engine.language.values import as_value
from touchstone.engine.plan.pipeline_run import PlannedPipelineRun
from touchstone.engine.plan.references import References
from touchstone.engine.plan.task_run import DEFAULT_TIMEOUT, Metadata, PlannedTaskRun
from touchstone.engine.pod.breakpoints import Breakpoints
from touchstone.engine.pod.credentials import DEFAULT_ACCOUNT

_OURS = "touchstone.dev/"
"""What begins so is Touchstone's own."""


def planned_task_run(run: Document, references: References) -> PlannedTaskRun:
    """What a TaskRun asks for. Raises ManifestError where it names no Task."""
    spec = run.body["spec"]
    task_name, task, source = run.name, spec.get("taskSpec"), None
    if task is None:
        definition = references.find("Task", spec["taskRef"], run, ("spec",))
        task_name, task, source = definition.name, definition.spec, definition.source
    return PlannedTaskRun(
        task=run.name,
        task_name=task_name,
        taskrun=run.name,
        spec=task,
        params={item["name"]: as_value(item["value"]) for item in spec.get("params", [])},
        bindings={item["name"]: item for item in spec.get("workspaces", [])},
        timeout=durations.seconds(spec["timeout"]) if "timeout" in spec else DEFAULT_TIMEOUT,
        retries=spec.get("retries", 0),
        source=source,
        pod=spec.get("podTemplate", {}),
        breakpoints=Breakpoints.of(spec.get("debug", {}).get("breakpoints", {})),
        account=spec.get("serviceAccountName", DEFAULT_ACCOUNT),
        metadata=_metadata(run),
    )


def planned_pipeline_run(run: Document, references: References) -> PlannedPipelineRun:
    """A PipelineRun's plan. Raises ManifestError where it names no Pipeline."""
    spec = run.body["spec"]
    document, name, source = run, run.name, None
    path: FieldPath = ("spec", "pipelineSpec")
    if "pipelineRef" in spec:
        definition = references.pipeline_of(run)
        document, path = definition.document, ("spec",)
        name, source = definition.name, definition.source
    return PlannedPipelineRun(
        name=run.name,
        pipeline=name,
        spec=spec["pipelineSpec"] if document is run else definition.spec,
        document=document,
        path=path,
        references=references,
        given={item["name"]: as_value(item["value"]) for item in spec.get("params", [])},
        bindings={item["name"]: item for item in spec.get("workspaces", [])},
        timeouts=spec.get("timeouts", {}),
        run_specs=spec.get("taskRunSpecs", []),
        run_template=spec.get("taskRunTemplate", {}),
        source=source,
        ancestors=(name,) if document is not run else (),
        metadata=_metadata(run),
    )


def _metadata(run: Document) -> Metadata:
    """What the TaskRuns of a run take over from it; Touchstone's own annotations stay behind."""
    metadata = run.body["metadata"]
    annotations = metadata.get("annotations") or {}
    return Metadata(
        metadata.get("labels") or {},
        {key: text for key, text in annotations.items() if not key.startswith(_OURS)},
    )


def embedded_specs(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The Task specs written into a run's spec or a pipeline task, at any depth."""
    if "taskSpec" in spec:
        yield spec["taskSpec"]
    pipeline = spec.get("pipelineSpec", {})
    for task in (*pipeline.get("tasks", []), *pipeline.get("finally", [])):
        yield from embedded_specs(task)
