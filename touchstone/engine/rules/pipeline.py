"""Do a Pipeline's tasks, references and order hold together? (pipeline_validation.go)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from touchstone.documents.naming import check_label, check_one_of, check_unique
from touchstone.documents.problems import By, Field
from touchstone.documents.yaml import Document, FieldPath
from touchstone.engine.language import graph
from touchstone.engine.language.propagation import used_workspaces
from touchstone.engine.language.substitute import Key, Scope, references, walk_strings
from touchstone.engine.language.values import declared_type
from touchstone.engine.rules.matrix import check_matrix, matrix_params
from touchstone.engine.rules.params import (
    check_bound,
    check_given,
    check_names,
    check_params,
    known_params,
)
from touchstone.engine.rules.pipeline_variables import PipelineNames, problem_inside, problem_of
from touchstone.engine.rules.refs import OWN_VERSION, check_custom, check_reference, is_custom
from touchstone.engine.rules.task import check_on_error, check_task
from touchstone.engine.rules.variables import (
    Names,
    Who,
    no_references,
    refuse,
    task_names,
    written,
)
from touchstone.engine.rules.when import check_when

Json = Mapping[str, Any]


def check_pipeline(
    pipeline: Field, others: Sequence[Document], *, run: Json | None = None, inner: bool = False
) -> None:
    """A Pipeline spec: one of its own, or one that `run` embeds, `inner` where that is a task."""
    _Pipeline(pipeline, others, run, inner).check()


class _Pipeline:
    def __init__(
        self, pipeline: Field, others: Sequence[Document], run: Json | None, inner: bool
    ) -> None:
        self._pipeline, self._others, self._inner = pipeline, others, inner
        self._alone = run is None and not inner
        self._complete = run is not None
        """Whether all that a run gives is known."""

        around = run or {}
        tasks = {task.get("name"): task.value for task in pipeline.each("tasks")}
        finals = {task.get("name"): task.value for task in pipeline.each("finally")}
        self._names = PipelineNames(
            params={**known_params(pipeline.value, around), **_in_part(around, pipeline)},
            workspaces=[
                *pipeline.names("workspaces"),
                *(item["name"] for item in around.get("workspaces", [])),
            ],
            tasks=tasks,
            finals=finals,
            results=self._results,
        )
        self._definitions = {d.name: d.body["spec"] for d in others if d.kind == "Task"}
        # The webhook takes every param that any task of a run's own pipelineSpec has.
        holders = [pipeline.value, around]
        if not self._alone:
            specs = [task.get("taskSpec", {}) for task in tasks.values()]
            holders = [*holders, *tasks.values(), *specs]
        self._admitted = known_params(*holders)

    def check(self) -> None:
        pipeline = self._pipeline
        if not pipeline.get("tasks"):
            bare = pipeline.get("finally") or not any(pipeline.value.values())
            pipeline.refuse(
                "got no task, expected at least one", "tasks", by="tekton" if bare else "embedded"
            )
        check_params(pipeline, of_task=False)
        if not (self._alone or self._inner) and any(
            task.at("taskSpec").get("steps") for task in pipeline.each("tasks")
        ):
            # What reaches into an embedded Task is named as its own params are.
            for holder in (pipeline, *pipeline.each("tasks")):
                check_names(holder)
        check_unique(pipeline.each("workspaces"))
        check_unique(pipeline.each("results"), by="embedded")
        seen: set[str] = set()
        for section in ("tasks", "finally"):
            for task in pipeline.each(section):
                check_unique([task], seen=seen)
                self._check_task(task, final=section == "finally")
        self._check_order()
        self._check_results()

    def _check_task(self, task: Field, *, final: bool) -> None:
        check_label(task)
        check_one_of(task, "taskRef", "taskSpec", "pipelineRef", "pipelineSpec")
        check_when(task)
        check_matrix(task)
        check_unique(task.each("params"))
        by: By = "tekton" if self._alone else "embedded"
        check_unique(task.each("workspaces"), by=by)
        check_on_error(task)
        retries = task.get("retries", 0)
        if task.get("onError") == "continue" and retries > 0:
            task.refuse("got continue beside retries, expected one of them", "onError")
        if retries < 0:
            task.refuse(f"got {retries}, expected 0 or more", "retries", by="embedded")
        if final and task.get("runAfter"):
            task.refuse(
                "got runAfter in finally, expected none: all of them start together", "runAfter"
            )
        for item in task.each("workspaces"):
            field = "workspace" if item.get("workspace") else "name"
            if item.get(field) not in self._names.workspaces:
                item.refuse(
                    f"got {item.get(field)!r}, expected a workspace the pipeline declares"
                    f" ({', '.join(sorted(self._names.workspaces)) or 'none is'})",
                    field,
                    by=by,
                )
        self._check_references(task, final=final)
        self._check_behind(task, final=final)

    def _check_references(self, task: Field, *, final: bool) -> None:
        def visit(text: str, inner: FieldPath) -> None:
            if inner[:2] == ("matrix", "include") and inner[-1] == "name":
                return  # a combination's name is read by the param it stands for
            if self._looks(final=final) and inner[0] in ("params", "when", "matrix"):
                for odd, root in no_references(text):
                    if root == "params":
                        task.refuse(f"got {odd}, expected the name of a declared one in it", *inner)
            for key in references(text):
                problem, who = self._problem(key, text, inner, final=final)
                if problem:
                    refuse(task, f"got {written(key)}, {problem}", *inner, who=who)

        fields = ("params", "when", "matrix", "workspaces", "taskRef")
        walk_strings({key: task.get(key) for key in fields}, visit)

    def _looks(self, *, final: bool) -> bool:
        """Whether the webhook looks for params in a task."""
        return self._alone or not (self._inner or final)

    def _problem(self, key: Key, text: str, inner: FieldPath, *, final: bool) -> tuple[str, Who]:
        admitted = self._admitted if self._looks(final=final) else None
        return problem_of(key, text, inner, names=self._names, admitted=admitted, final=final)

    def _check_behind(self, task: Field, *, final: bool) -> None:
        """The Task or Pipeline behind a pipeline task, and whether it is given what it needs."""
        for name in ("taskRef", "pipelineRef"):
            if name in task.value:
                check_reference(task.at(name))
        if "pipelineRef" in task.value or "pipelineSpec" in task.value:
            if "matrix" in task.value:
                task.refuse(
                    "got a matrix for a pipeline, expected one for a task: Tekton gives its params"
                    " to no child PipelineRun",
                    "matrix",
                    by="embedded",
                )
            if task.get("pipelineSpec") is not None:
                # The task is to it what a run is to a pipelineSpec of its own.
                check_pipeline(task.at("pipelineSpec"), self._others, run=task.value, inner=True)
            return
        if is_custom(task):
            check_custom(task)
            if task.at("taskRef").get("apiVersion") != OWN_VERSION:
                return
        embedded = task.at("taskSpec")
        if embedded.value is not None:
            check_task(embedded, self._inside(task, embedded, final=final))
        spec = embedded.value or self._definitions.get(task.at("taskRef").get("name", ""))
        if spec is not None and not task.at("taskRef").get("resolver"):
            self._check_given(task, spec, embedded=embedded.value is not None)

    def _inside(self, task: Field, embedded: Field, *, final: bool) -> Names:
        """What is known inside a taskSpec: its own, the pipeline task's, the pipeline's."""
        given = [item.value for item in matrix_params(task)]
        strings = {"params": [{"name": item["name"]} for item in given]}
        around = {"params": list(self._names.params.values())}
        params = known_params(embedded.value, task.value, strings, around)
        admitted: Mapping[str, Json] | None = self._admitted
        if self._alone:
            # Of the pipeline's arrays the webhook knows the names here.
            kinds = [(item, declared_type(item) == "array") for item in around["params"]]
            named = [{"name": item["name"]} if array else item for item, array in kinds]
            admitted = known_params(embedded.value, {"params": named})
        elif self._inner or final:
            admitted = None
        known = partial(problem_inside, names=self._names, final=final)
        workspaces = [*task.names("workspaces"), *self._names.workspaces]
        unbound: Who = "embedded" if self._complete else "nobody"
        return task_names(embedded, params, admitted, workspaces, known, unbound)

    def _check_given(self, task: Field, spec: Json, *, embedded: bool) -> None:
        given = {item["name"]: item.get("value", "") for item in task.get("params", [])}
        given |= {item.get("name"): "$(a string of the matrix)" for item in matrix_params(task)}
        check_given(task, spec.get("params", []), given)
        used = used_workspaces(spec, Scope()) if embedded else []
        propagated = [name for name in used if name in self._names.workspaces]
        bound = [*task.names("workspaces"), *propagated]
        check_bound(task, spec.get("workspaces", []), bound)
        declared = [item["name"] for item in spec.get("workspaces", [])]
        for item in task.each("workspaces"):
            if item.get("name") not in declared and not embedded:
                item.refuse(
                    f"got {item.get('name')!r}, expected a workspace the Task declares"
                    f" ({', '.join(declared) or 'none is'})",
                    "name",
                    by="embedded",
                )

    def _results(self, task: Json) -> Mapping[str, Json] | None:
        """The results a pipeline task declares, by name; None where that is not known here."""
        ref = task.get("taskRef", {})
        spec = task.get("taskSpec") or (
            None if ref.get("resolver") else self._definitions.get(ref.get("name"))
        )
        if spec is None or "steps" not in spec:
            return None
        return {item["name"]: item for item in spec.get("results", [])}

    def _check_order(self) -> None:
        tasks = [task.value for task in self._pipeline.each("tasks")]
        for task in self._pipeline.each("tasks"):
            for index, parent in enumerate(task.get("runAfter", [])):
                if parent not in self._names.tasks:
                    task.refuse(
                        f"got {parent!r}, expected a task of this pipeline"
                        f" ({', '.join(self._names.tasks)})",
                        "runAfter",
                        index,
                    )
        cycle = graph.find_cycle(tasks)
        if cycle:
            index = [task["name"] for task in tasks].index(cycle[0])
            self._pipeline.refuse(
                f"got the cycle {' → '.join(cycle)}, expected an order in which they can run",
                "tasks",
                index,
            )

    def _check_results(self) -> None:
        """A Pipeline's results are made of results of its tasks and finally tasks."""
        for result in self._pipeline.each("results"):
            value = result.get("value")
            found = list(references(value))
            if not found:
                result.refuse("got no $(tasks.NAME.results.RESULT), expected one", "value")
            elif isinstance(value, str) and not value.startswith("$("):
                result.refuse(f"got {value!r}, expected a reference first", "value")
            for key in found:
                problem, by = self._names.pipeline_result(key)
                if problem:
                    result.refuse(f"got {written(key)}, {problem}", "value", by=by)


def _in_part(run: Json, pipeline: Field) -> dict[str, Json]:
    """Declared object params that the run gives without all their keys: they have no others."""
    given = {item["name"]: item["value"] for item in run.get("params", [])}
    found: dict[str, Json] = {}
    for item in pipeline.get("params", []):
        value = given.get(item.get("name"))
        if isinstance(value, Mapping) and item.get("properties", {}).keys() - value.keys():
            found[item["name"]] = {**item, "properties": dict.fromkeys(value, {})}
    return found
