"""What are the runs of one pipeline task to do?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from touchstone.engine.language import durations
from touchstone.engine.language.matrix import MAX_COMBINATIONS, MatrixError, display_name, fan_out
from touchstone.engine.language.names import run_names
from touchstone.engine.language.substitute import Key, Scope, Value, scope_of
from touchstone.engine.plan.pipeline_run import Plan, RunFailedError, Values, given_params
from touchstone.engine.plan.refusals import USER
from touchstone.engine.plan.task_run import Metadata, Order
from touchstone.engine.pod.credentials import DEFAULT_ACCOUNT
from touchstone.engine.run import task_run
from touchstone.engine.run.facts import Facts, Standing
from touchstone.runs import record


class Orders:
    """Makes the orders of a plan's pipeline tasks."""

    def __init__(self, plan: Plan, values: Values, facts: Facts) -> None:
        self._plan, self._values, self._facts = plan, values, facts

    def scope(self, standing: Standing) -> Scope:
        """What a pipeline task may refer to at this moment."""
        values: dict[Key, Value] = {
            ("context", "pipelineTask", "retries"): str(standing.task.get("retries", 0))
        }
        for other in self._facts.section(final=False):
            if other.matrixed and other.done:
                lengths = ("tasks", other.name, "matrix")
                values[*lengths, "length"] = str(len(other.runs))
                for result, found in other.results().items():
                    values[*lengths, result, "length"] = str(len(found))
            values.update(_artifacts(other))
        if standing.final:
            for other in self._facts.section(final=False):
                values["tasks", other.name, "status"] = other.state
                values["tasks", other.name, "reason"] = other.condition["reason"]
                values["tasks", other.name, "message"] = other.condition["message"]
            values["tasks", "status"] = self._facts.aggregate()
        return self._values.scope | Scope(self._facts.results) | Scope(values)

    def schedule(self, standing: Standing, scope: Scope) -> list[Order | Plan]:
        """One order for each run of the task; notes the runs and their displayNames.

        A child Pipeline gets a plan. Raises RunFailedError where no run can be made, ManifestError
        for a reference that cannot be replaced.
        """
        task, plan = standing.task, self._plan
        combinations: list[dict[str, str]] = [{}]
        if standing.matrixed:
            combinations = self._combinations(standing, scope)
        names = run_names(plan.name, standing.name, len(combinations))
        orders: list[Order | Plan] = []
        for name, combination in zip(names, combinations, strict=True):
            params = {**combination, **given_params(task.get("params", []), scope)}
            self._note_display(standing, name, params, scope)
            orders.append(self._order(standing, name, params, scope))
        standing.runs = {name: standing.runs.get(name, {}) for name in names}
        return orders

    def _combinations(self, standing: Standing, scope: Scope) -> list[dict[str, str]]:
        try:
            found = fan_out(standing.task["matrix"], scope, task=standing.name)
        except MatrixError as error:
            raise RunFailedError(
                "InvalidMatrixParameterTypes",
                f'{USER}Failed to validate matrix "{self._plan.name}" with error {error}',
            ) from None
        if len(found) > MAX_COMBINATIONS:
            raise RunFailedError(
                "PipelineValidationFailed",
                f"{USER}Pipeline default/{self._plan.pipeline} can't be Run; it has an invalid"
                f" spec: expected 0 <= {len(found)} <= {MAX_COMBINATIONS}: {standing.name}.matrix",
            )
        return found

    def _note_display(
        self, standing: Standing, name: str, params: Mapping[str, Value], scope: Scope
    ) -> None:
        strings = {key: value for key, value in params.items() if isinstance(value, str)}
        inside = scope | scope_of(("params",), strings)
        shown = inside.text(standing.task.get("displayName", ""))
        if standing.matrixed:
            shown = display_name(standing.task["matrix"], params, inside) or shown
        if shown:
            standing.display[name] = shown

    def _order(
        self, standing: Standing, name: str, params: dict[str, Value], scope: Scope
    ) -> Order | Plan:
        task, plan = standing.task, self._plan
        if standing.kind == "PipelineRun":
            return self._inner(standing, name, params, scope)
        embedded = task.get("taskSpec")
        bindings = self._bindings(task, scope)
        surroundings = Scope()
        task_name, spec, source = standing.name, embedded, None
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
        self._check_workspaces(standing, spec or {}, bindings)
        _check_enums(standing, spec or {}, params)
        shown = name.removeprefix(f"{plan.name}-") if standing.matrixed else standing.name
        template = self._template(standing)
        return Order(
            task=plan.label + shown,
            task_name=task_name,
            taskrun=name,
            spec=spec or {},
            params=params,
            bindings=bindings,
            surroundings=surroundings,
            timeout=self._timeout(standing),
            retries=task.get("retries", 0),
            source=source,
            ignored=scope.text(task.get("onError", "")) == "continue",
            pod=template.get("podTemplate", {}),
            account=template.get("serviceAccountName", DEFAULT_ACCOUNT),
            metadata=self._metadata(standing),
        )

    def _metadata(self, standing: Standing) -> Metadata:
        """The TaskRun's: the run's, the embedded taskSpec's, and what Tekton adds."""
        plan, own = self._plan, standing.task.get("taskSpec", {}).get("metadata", {})
        added = {
            "tekton.dev/memberOf": "finally" if standing.final else "tasks",
            "tekton.dev/pipeline": plan.pipeline,
            "tekton.dev/pipelineRun": plan.name,
            "tekton.dev/pipelineTask": standing.name,
        }
        return Metadata(
            {**plan.metadata.labels, **own.get("labels", {}), **added},
            {**plan.metadata.annotations, **own.get("annotations", {})},
        )

    def _inner(self, standing: Standing, name: str, params: dict[str, Value], scope: Scope) -> Plan:
        """The plan of a pipeline inside this one: it sees what it is given and nothing else."""
        plan, task = self._plan, standing.task
        inner = Plan(
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
            label=f"{plan.label}{standing.name}/",
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

    def _template(self, standing: Standing) -> dict[str, Any]:
        """podTemplate and serviceAccountName, as taskRunSpecs changes them for this task."""
        template = dict(self._plan.run_template)
        for item in self._plan.run_specs:
            if item["pipelineTaskName"] == standing.name:
                own = ("podTemplate", "serviceAccountName")
                template |= {key: item[key] for key in own if key in item}
        return template

    def _timeout(self, standing: Standing) -> float:
        text = standing.task.get("timeout")
        for item in self._plan.run_specs:
            if item["pipelineTaskName"] == standing.name:
                text = item.get("timeout", text)
        if text:
            return durations.seconds(self._values.scope.text(text))
        section = self._plan.timeouts.get("finally" if standing.final else "tasks")
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
        self, standing: Standing, spec: Mapping[str, Any], bindings: Mapping[str, Any]
    ) -> None:
        optional = {item["name"] for item in spec.get("workspaces", []) if item.get("optional")}
        for item in standing.task.get("workspaces", []):
            if item["name"] not in bindings and item["name"] not in optional:
                raise RunFailedError(
                    "CreateRunFailed",
                    f'expected workspace "{item.get("workspace", item["name"])}" to be provided'
                    f' by pipelinerun for pipeline task "{standing.name}"',
                )


def _check_enums(standing: Standing, spec: Mapping[str, Any], params: Mapping[str, Value]) -> None:
    allowed = {item["name"]: item["enum"] for item in spec.get("params", []) if item.get("enum")}
    for name, value in params.items():
        if value and name in allowed and value not in allowed[name]:
            raise RunFailedError(
                "InvalidParamValue",
                f'{USER}Invalid param value from PipelineTask "{standing.name}": param `{name}`'
                f" value: {value} is not in the enum list",
            )


def _artifacts(standing: Standing) -> dict[Key, Value]:
    """$(tasks.NAME.outputs.ARTIFACT) and its like: the values of an artifact as JSON."""
    found: dict[Key, Value] = {}
    if not standing.done:
        return found
    for status in standing.runs.values():
        for side in ("inputs", "outputs"):
            artifacts: Sequence[Mapping[str, Any]] = status.get("artifacts", {}).get(side, [])
            for artifact in artifacts:
                text = json.dumps(artifact.get("values", []), separators=(",", ":"))
                found.setdefault(("tasks", standing.name, side), text)
                found["tasks", standing.name, side, artifact["name"]] = text
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
