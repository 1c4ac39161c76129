"""Which runs does a pipeline task have, and what is each to do?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from touchstone.engine.language import durations
from touchstone.engine.language.matrix import MAX_COMBINATIONS, MatrixError, display_name, fan_out
from touchstone.engine.language.names import run_names
from touchstone.engine.language.substitute import Key, Scope, Value, scope_of
from touchstone.engine.language.values import misfits
from touchstone.engine.plan.pipeline_run import (
    PlannedPipelineRun,
    RunFailedError,
    Values,
    given_params,
)
from touchstone.engine.plan.refusals import USER
from touchstone.engine.plan.task_run import Metadata, PlannedTaskRun
from touchstone.engine.pod.credentials import DEFAULT_ACCOUNT
from touchstone.engine.run import task_run
from touchstone.engine.run.facts import PipelineRunFacts, PipelineTaskState
from touchstone.runs import record


class ChildRuns:
    """Plans the runs of each pipeline task."""

    def __init__(self, plan: PlannedPipelineRun, values: Values, facts: PipelineRunFacts) -> None:
        self._plan, self._values, self._facts = plan, values, facts

    def scope(self, pipeline_task: PipelineTaskState) -> Scope:
        """What a pipeline task may refer to at this moment."""
        values: dict[Key, Value] = {
            ("context", "pipelineTask", "retries"): str(pipeline_task.task.get("retries", 0))
        }
        for other in self._facts.section(final=False):
            if other.matrixed and other.done:
                lengths = ("tasks", other.name, "matrix")
                values[*lengths, "length"] = str(len(other.runs))
                for result, found in other.results().items():
                    values[*lengths, result, "length"] = str(len(found))
            values.update(_artifacts(other))
        if pipeline_task.final:
            for other in self._facts.section(final=False):
                values["tasks", other.name, "status"] = other.state
                values["tasks", other.name, "reason"] = other.condition["reason"]
                values["tasks", other.name, "message"] = other.condition["message"]
            values["tasks", "status"] = self._facts.aggregate()
        return self._values.scope | Scope(self._facts.results) | Scope(values)

    def schedule(
        self, pipeline_task: PipelineTaskState, scope: Scope
    ) -> list[PlannedTaskRun | PlannedPipelineRun]:
        """A plan for each run of the task; notes the runs and their displayNames.

        A child Pipeline gets a plan. Raises RunFailedError where no run can be made, ManifestError
        for a reference that cannot be replaced.
        """
        task, plan = pipeline_task.task, self._plan
        combinations: list[dict[str, str]] = [{}]
        if pipeline_task.matrixed:
            combinations = self._combinations(pipeline_task, scope)
        names = run_names(plan.name, pipeline_task.name, len(combinations))
        children: list[PlannedTaskRun | PlannedPipelineRun] = []
        for name, combination in zip(names, combinations, strict=True):
            params = {**combination, **given_params(task.get("params", []), scope)}
            self._note_display(pipeline_task, name, params, scope)
            children.append(self._task_run(pipeline_task, name, params, scope))
        pipeline_task.runs = {name: pipeline_task.runs.get(name, {}) for name in names}
        return children

    def _combinations(self, pipeline_task: PipelineTaskState, scope: Scope) -> list[dict[str, str]]:
        try:
            found = fan_out(pipeline_task.task["matrix"], scope, task=pipeline_task.name)
        except MatrixError as error:
            raise RunFailedError(
                "InvalidMatrixParameterTypes",
                f'{USER}Failed to validate matrix "{self._plan.name}" with error {error}',
            ) from None
        if len(found) > MAX_COMBINATIONS:
            raise RunFailedError(
                "PipelineValidationFailed",
                f"{USER}Pipeline default/{self._plan.pipeline} can't be Run; it has an invalid"
                f" spec: expected 0 <= {len(found)} <= {MAX_COMBINATIONS}:"
                f" {pipeline_task.name}.matrix",
            )
        return found

    def _note_display(
        self, pipeline_task: PipelineTaskState, name: str, params: Mapping[str, Value], scope: Scope
    ) -> None:
        strings = {key: value for key, value in params.items() if isinstance(value, str)}
        inside = scope | scope_of(("params",), strings)
        shown = inside.text(pipeline_task.task.get("displayName", ""))
        if pipeline_task.matrixed:
            shown = display_name(pipeline_task.task["matrix"], params, inside) or shown
        if shown:
            pipeline_task.display[name] = shown

    def _task_run(
        self, pipeline_task: PipelineTaskState, name: str, params: dict[str, Value], scope: Scope
    ) -> PlannedTaskRun | PlannedPipelineRun:
        task, plan = pipeline_task.task, self._plan
        if pipeline_task.kind == "PipelineRun":
            return self._inner(pipeline_task, name, params, scope)
        embedded = task.get("taskSpec")
        bindings = self._bindings(task, scope)
        surroundings = Scope()
        task_name, spec, source = pipeline_task.name, embedded, None
        if embedded is None:
            definition = plan.definition("Task", task, scope)
            task_name, spec, source = definition.name, definition.spec, definition.source
        else:
            # Only an embedded spec sees the pipeline's params, results and workspaces.
            declared = {item["name"] for item in embedded.get("params", [])}
            for param, value in self._values.params.items():
                if param not in declared or param in plan.given:
                    params.setdefault(param, value)
            bindings = {**scope.apply(plan.bindings), **bindings}
            surroundings = scope
        self._check_workspaces(pipeline_task, spec or {}, bindings)
        _check_enums(pipeline_task, spec or {}, params)
        shown = name.removeprefix(f"{plan.name}-") if pipeline_task.matrixed else pipeline_task.name
        template = self._template(pipeline_task)
        return PlannedTaskRun(
            task=plan.label + shown,
            task_name=task_name,
            taskrun=name,
            spec=spec or {},
            params=params,
            bindings=bindings,
            surroundings=surroundings,
            timeout=self._timeout(pipeline_task),
            retries=task.get("retries", 0),
            source=source,
            ignored=scope.text(task.get("onError", "")) == "continue",
            pod=template.get("podTemplate", {}),
            account=template.get("serviceAccountName", DEFAULT_ACCOUNT),
            metadata=self._metadata(pipeline_task),
        )

    def _metadata(self, pipeline_task: PipelineTaskState) -> Metadata:
        """The TaskRun's: the run's, the embedded taskSpec's, and what Tekton adds."""
        plan, own = self._plan, pipeline_task.task.get("taskSpec", {}).get("metadata", {})
        added = {
            "tekton.dev/memberOf": "finally" if pipeline_task.final else "tasks",
            "tekton.dev/pipeline": plan.pipeline,
            "tekton.dev/pipelineRun": plan.name,
            "tekton.dev/pipelineTask": pipeline_task.name,
        }
        return Metadata(
            {**plan.metadata.labels, **own.get("labels", {}), **added},
            {**plan.metadata.annotations, **own.get("annotations", {})},
        )

    def _inner(
        self, pipeline_task: PipelineTaskState, name: str, params: dict[str, Value], scope: Scope
    ) -> PlannedPipelineRun:
        """The plan of a pipeline inside this one: it sees what it is given and nothing else."""
        plan, task = self._plan, pipeline_task.task
        inner = PlannedPipelineRun(
            name=name,
            pipeline=name,
            spec=task.get("pipelineSpec", {}),
            document=plan.document,
            path=(*plan.place(task), "pipelineSpec"),
            references=plan.references,
            given=params,
            bindings=self._bindings(task, scope),
            run_template=plan.run_template,
            metadata=plan.metadata,
            label=f"{plan.label}{pipeline_task.name}/",
            ancestors=plan.ancestors,
        )
        if "pipelineSpec" in task:
            return inner
        definition = plan.definition("Pipeline", task, scope)
        if definition.name in plan.ancestors:
            raise RunFailedError(
                "CreateRunFailed",
                f'detected cycle in pipeline-in-pipeline: pipeline "{definition.name}" is already'
                f" running in ancestor chain [{' '.join(plan.ancestors)}]",
            )
        return replace(
            inner,
            pipeline=definition.name,
            spec=definition.spec,
            document=definition.document,
            path=("spec",),
            source=definition.source,
            ancestors=(*plan.ancestors, definition.name),
        )

    def _template(self, pipeline_task: PipelineTaskState) -> dict[str, Any]:
        """podTemplate and serviceAccountName, as taskRunSpecs changes them for this task."""
        template = dict(self._plan.run_template)
        for item in self._plan.run_specs:
            if item["pipelineTaskName"] == pipeline_task.name:
                own = ("podTemplate", "serviceAccountName")
                template |= {key: item[key] for key in own if key in item}
        return template

    def _timeout(self, pipeline_task: PipelineTaskState) -> float:
        text = pipeline_task.task.get("timeout")
        for item in self._plan.run_specs:
            if item["pipelineTaskName"] == pipeline_task.name:
                text = item.get("timeout", text)
        if text:
            return durations.seconds(self._values.scope.text(text))
        section = self._plan.timeouts.get("finally" if pipeline_task.final else "tasks")
        limit = durations.seconds(section) if section else task_run.DEFAULT_TIMEOUT
        # A run that gives its tasks longer than the default takes the default off each of them.
        return limit if not limit else max(limit, task_run.DEFAULT_TIMEOUT)

    def _bindings(self, task: Mapping[str, Any], scope: Scope) -> dict[str, Mapping[str, Any]]:
        bindings: dict[str, Mapping[str, Any]] = {}
        for item in task.get("workspaces", []):
            binding = self._plan.bindings.get(item.get("workspace", item["name"]))
            if binding is None:
                continue
            binding = scope.apply(binding)
            parts = (binding.get("subPath", ""), scope.text(item.get("subPath", "")))
            bindings[item["name"]] = {
                **binding,
                "subPath": "/".join(part for part in parts if part),
            }
        return bindings

    def _check_workspaces(
        self, pipeline_task: PipelineTaskState, spec: Mapping[str, Any], bindings: Mapping[str, Any]
    ) -> None:
        optional = {item["name"] for item in spec.get("workspaces", []) if item.get("optional")}
        for item in pipeline_task.task.get("workspaces", []):
            if item["name"] not in bindings and item["name"] not in optional:
                raise RunFailedError(
                    "CreateRunFailed",
                    f'expected workspace "{item.get("workspace", item["name"])}" to be provided'
                    f' by pipelinerun for pipeline task "{pipeline_task.name}"',
                )


def _check_enums(
    pipeline_task: PipelineTaskState, spec: Mapping[str, Any], params: Mapping[str, Value]
) -> None:
    for name, value in misfits(spec.get("params", []), params).outside_enum.items():
        raise RunFailedError(
            "InvalidParamValue",
            f'{USER}Invalid param value from PipelineTask "{pipeline_task.name}":'
            f" param `{name}` value: {value} is not in the enum list",
        )


def _artifacts(pipeline_task: PipelineTaskState) -> dict[Key, Value]:
    """$(tasks.NAME.outputs.ARTIFACT) and its like: the values of an artifact as JSON."""
    found: dict[Key, Value] = {}
    if not pipeline_task.done:
        return found
    for status in pipeline_task.runs.values():
        for side in ("inputs", "outputs"):
            artifacts: Sequence[Mapping[str, Any]] = status.get("artifacts", {}).get(side, [])
            for artifact in artifacts:
                text = json.dumps(artifact.get("values", []), separators=(",", ":"))
                found.setdefault(("tasks", pipeline_task.name, side), text)
                found["tasks", pipeline_task.name, side, artifact["name"]] = text
    return found


def failed_before_start(name: str, why: str) -> record.Json:
    """The status of a TaskRun that was cancelled while it waited for its turn."""
    now = record.now()
    message = f'TaskRun "{name}" was cancelled. {why}'
    return {
        "startTime": now,
        "completionTime": now,
        "podName": "",
        "steps": [],
        "conditions": [record.condition("False", "TaskRunCancelled", message)],
    }
