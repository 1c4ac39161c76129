"""Which runs does a pipeline task have, and what is each to do?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from touchstone.engine.language import durations, graph
from touchstone.engine.language.matrix import (
    MAX_COMBINATIONS,
    MatrixError,
    count,
    display_name,
    fan_out,
)
from touchstone.engine.language.names import run_names
from touchstone.engine.language.propagation import used_workspaces
from touchstone.engine.language.substitute import Key, Scope, Value, references, scope_of
from touchstone.engine.language.values import as_value, misfits
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
        """What the params and when expressions of a pipeline task may refer to at this moment."""
        return self._values.scope.then(self._settled(pipeline_task))

    def _settled(self, pipeline_task: PipelineTaskState) -> Scope:
        """How the tasks before this one ended, and their results."""
        states: dict[Key, Value] = {}
        if pipeline_task.final:
            for other in self._facts.section(final=False):
                states["tasks", other.name, "status"] = other.state
                states["tasks", other.name, "reason"] = other.condition["reason"]
                states["tasks", other.name, "message"] = other.condition["message"]
            states["tasks", "status"] = self._facts.aggregate()
        return Scope(states).then(Scope(self._facts.results))

    def _contexts(self, pipeline_task: PipelineTaskState, params: Mapping[str, Value]) -> Scope:
        """What Tekton replaces last, in params and displayNames alone.

        Lengths of a matrix are those that one of the params names first.
        """
        values: dict[Key, Value] = {
            ("context", "pipelineTask", "retries"): str(pipeline_task.task.get("retries", 0))
        }
        for value in params.values():
            lengths = [key for key in references(value) if graph.is_matrix_length(key)]
            other = self._facts.tasks.get(lengths[0][1]) if lengths else None
            if other is None:
                continue
            if not other.final:
                matrix = _replaced(other.task.get("matrix", {}), self._values.scope)
                values["tasks", other.name, "matrix", "length"] = str(count(matrix))
            if len(lengths[0]) == 5:
                values[lengths[0]] = str(len(other.emitted(lengths[0][3])))
        return Scope(values)

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
            combinations = self._combinations(pipeline_task)
        given = given_params(task.get("params", []), scope)
        contexts = self._contexts(pipeline_task, given)
        given = {name: contexts.apply(value) for name, value in given.items()}
        names = run_names(plan.name, pipeline_task.name, len(combinations))
        children: list[PlannedTaskRun | PlannedPipelineRun] = []
        for name, combination in zip(names, combinations, strict=True):
            params = {**combination, **given}
            self._note_display(pipeline_task, name, params, contexts)
            children.append(self._task_run(pipeline_task, name, params, scope))
        pipeline_task.runs = {name: pipeline_task.runs.get(name, {}) for name in names}
        return children

    def _combinations(self, pipeline_task: PipelineTaskState) -> list[dict[str, str]]:
        scope = self._of_matrix()
        try:
            found = fan_out(pipeline_task.task["matrix"], scope, task=pipeline_task.name)
        except MatrixError as error:
            raise RunFailedError(
                "InvalidMatrixParameterTypes",
                f'{USER}Failed to validate matrix "{self._plan.name}" with error {error}',
            ) from None
        # An included combination with several new values counts once for each of them: Tekton then
        # makes more runs than there are combinations, and the last ones are given none of it.
        counted = count(_replaced(pipeline_task.task["matrix"], scope))
        found += [{} for _ in range(counted - len(found))]
        if len(found) > MAX_COMBINATIONS:
            raise RunFailedError(
                "PipelineValidationFailed",
                f"{USER}Pipeline default/{self._plan.pipeline} can't be Run; it has an invalid"
                f" spec: expected 0 <= {len(found)} <= {MAX_COMBINATIONS}:"
                f" {pipeline_task.name}.matrix",
            )
        return found

    def _of_matrix(self) -> Scope:
        return self._values.scope.then(Scope(self._facts.results))

    def _note_display(
        self,
        pipeline_task: PipelineTaskState,
        name: str,
        params: Mapping[str, Value],
        contexts: Scope,
    ) -> None:
        own = {key: value for key, value in params.items() if isinstance(value, str)}
        strings = scope_of(("params",), own)
        # The displayName of a matrix is left alone where params and workspaces are replaced.
        first = self._values.contexts if pipeline_task.matrixed else self._values.scope
        inside = first.then(self._settled(pipeline_task)).then(contexts).then(strings)
        shown = inside.text(pipeline_task.task.get("displayName", ""))
        if pipeline_task.matrixed:
            matrix = pipeline_task.task["matrix"]
            shown = display_name(matrix, params, self._of_matrix(), strings) or shown
        if shown:
            pipeline_task.display[name] = shown

    def _task_run(
        self, pipeline_task: PipelineTaskState, name: str, params: dict[str, Value], scope: Scope
    ) -> PlannedTaskRun | PlannedPipelineRun:
        task, plan = pipeline_task.task, self._plan
        if pipeline_task.kind == "PipelineRun":
            return self._inner(pipeline_task, name, params, scope)
        embedded = task.get("taskSpec")
        surroundings = Scope()
        task_name, spec, source = name, embedded, None
        wanted = list(task.get("workspaces", []))
        if embedded is None:
            definition = plan.definition("Task", task, scope)
            task_name, spec, source = definition.name, definition.spec, definition.source
        else:
            # Only an embedded spec sees the pipeline's params, results and workspaces.
            surroundings = self._inside(task)
            bound = {item["name"] for item in wanted}
            # Tekton also looks into what was given: there an event's value binds a workspace.
            used = used_workspaces(embedded, self._values.inside(task, written=True))
            wanted += [{"name": other} for other in used if other not in bound]
        bindings = self._bindings(wanted, scope)
        self._check_workspaces(pipeline_task.name, wanted, spec or {}, bindings)
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

    def _inside(self, task: Mapping[str, Any]) -> Scope:
        """What the spec of an embedded Task may refer to of the pipeline around it."""
        results: dict[Key, Value] = {}
        artifacts: dict[Key, Value] = {}
        for key, value in self._facts.results.items():
            if isinstance(value, dict):
                results |= {(*key, part): text for part, text in value.items()}
            else:
                results[key] = value
        for other in self._facts.tasks.values():
            artifacts |= _artifacts(other)
        inside = self._values.inside(task).then(Scope(results, parts=False))
        return inside.then(Scope(artifacts))

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
        _check_child_params(params)
        inner = PlannedPipelineRun(
            name=name,
            pipeline=name,
            spec=task.get("pipelineSpec", {}),
            document=plan.document,
            path=(*plan.place(task), "pipelineSpec"),
            references=plan.references,
            given=params,
            bindings=self._bindings(task.get("workspaces", []), scope),
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

    def _bindings(
        self, wanted: Sequence[Mapping[str, Any]], scope: Scope
    ) -> dict[str, Mapping[str, Any]]:
        """What a pipeline task's workspaces are bound to, as the run says."""
        plan = self._plan
        results = {k: v for k, v in self._facts.results.items() if not isinstance(v, list)}
        of_run = scope_of(("params",), plan.given).then(Scope(results))
        contexts = plan.contexts(plan.pipeline if plan.path == ("spec",) else "")
        bindings: dict[str, Mapping[str, Any]] = {}
        for item in wanted:
            binding = plan.bindings.get(item.get("workspace") or item["name"])
            if binding is None:
                continue
            binding = of_run.apply(binding)
            parts = (binding.get("subPath", ""), scope.text(item.get("subPath", "")))
            bindings[item["name"]] = {
                **binding,
                "subPath": contexts.text("/".join(part for part in parts if part)),
            }
        return bindings

    @staticmethod
    def _check_workspaces(
        task: str,
        wanted: Sequence[Mapping[str, Any]],
        spec: Mapping[str, Any],
        bindings: Mapping[str, Any],
    ) -> None:
        optional = {item["name"] for item in spec.get("workspaces", []) if item.get("optional")}
        for item in wanted:
            if item["name"] not in bindings and item["name"] not in optional:
                raise RunFailedError(
                    "CreateRunFailed",
                    f'expected workspace "{item.get("workspace") or item["name"]}" to be provided'
                    f' by pipelinerun for pipeline task "{task}"',
                )


def _replaced(matrix: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """A matrix as it stands once what is known before any task ran is replaced."""

    def replaced(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{**item, "value": scope.apply(as_value(item["value"]))} for item in items]

    included = [
        {**item, "params": replaced(item.get("params", []))} for item in matrix.get("include", [])
    ]
    return {"params": replaced(matrix.get("params", [])), "include": included}


def _check_child_params(params: Mapping[str, Value]) -> None:
    """Refuse results in the params of a child PipelineRun, as Tekton's webhook does.

    There a value that a task left would be read as a reference to results of the child's tasks.
    """
    for name, value in params.items():
        found = [".".join(key) for key in references(value) if graph.is_result(key)]
        if found:
            raise RunFailedError(
                "CreateRunFailed",
                'admission webhook "validation.webhook.pipeline.tekton.dev" denied the request:'
                f" validation failed: invalid value: cannot use result expressions in"
                f" [{' '.join(found)}] as PipelineRun parameter values: spec.params[{name}].value",
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
