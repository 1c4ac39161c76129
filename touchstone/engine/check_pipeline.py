"""Do a Pipeline's tasks, references and order hold together?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from touchstone.engine import graph
from touchstone.engine.check_matrix import check_matrix, matrix_items, matrix_params
from touchstone.engine.check_task import (
    at,
    check_bindings,
    check_bound_workspaces,
    check_given_params,
    check_one_of,
    check_param_specs,
    check_reference,
    check_task,
    check_unique,
    check_when,
    shown,
)
from touchstone.engine.substitute import Key, references, walk_strings
from touchstone.yaml import Document, FieldPath

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_CONTEXT = {
    ("pipelineRun", "name"), ("pipelineRun", "namespace"), ("pipelineRun", "uid"),
    ("pipeline", "name"), ("pipelineTask", "retries"),
}  # fmt: skip
_WITH_REFERENCES = ("params", "when", "workspaces", "taskRef")
_STATES = {"status", "reason", "message"}


def check_pipeline_run(document: Document, others: Sequence[Document]) -> None:
    """A PipelineRun: names exactly one Pipeline, gives params and binds workspaces once."""
    spec = document.body["spec"]
    check_one_of(document, ("spec",), ("pipelineRef", "pipelineSpec"))
    check_unique(document, ("spec", "params"))
    check_bindings(document)
    if "pipelineRef" in spec:
        check_reference(document, ("spec", "pipelineRef"), spec["pipelineRef"])
    embedded = "pipelineSpec" in spec
    if embedded:
        check_pipeline(document, ("spec", "pipelineSpec"), others)
        pipeline: Mapping[str, Any] = spec["pipelineSpec"]
    else:
        name = spec["pipelineRef"].get("name")
        named = [d for d in others if d.kind == "Pipeline" and d.name == name]
        if not named:
            return
        pipeline = named[0].body["spec"]
    given = {item["name"]: item["value"] for item in spec.get("params", [])}
    check_given_params(document, ("spec",), pipeline.get("params", []), given, extra=True)
    check_bound_workspaces(document, ("spec",), pipeline.get("workspaces", []))


def check_pipeline(document: Document, path: FieldPath, others: Sequence[Document]) -> None:
    """The Pipeline spec at `path`."""
    _Pipeline(document, path, others).check()


class _Pipeline:
    def __init__(self, document: Document, path: FieldPath, others: Sequence[Document]) -> None:
        self._document, self._path, self._others = document, path, others
        self._spec = at(document, path)
        self._tasks = {task["name"]: task for task in self._spec["tasks"]}
        self._finals = {task["name"]: task for task in self._spec.get("finally", [])}
        self._definitions = {d.name: d.body["spec"] for d in others if d.kind == "Task"}
        outermost = path == ("spec", "pipelineSpec")
        run_spec = document.body["spec"] if document.kind == "PipelineRun" and outermost else {}
        # A PipelineRun's own params and workspaces reach into a pipelineSpec it embeds.
        self._params = [*self._spec.get("params", []), *run_spec.get("params", [])]
        self._workspaces = [*self._spec.get("workspaces", []), *run_spec.get("workspaces", [])]

    def check(self) -> None:
        if not self._spec["tasks"]:
            raise self._error("got no task, expected at least one", ("tasks",))
        for part in ("params", "workspaces", "results"):
            check_unique(self._document, (*self._path, part))
        check_param_specs(self._document, self._path)
        seen: set[str] = set()
        for section, index, task in self._all():
            where: FieldPath = (section, index)
            if task["name"] in seen:
                raise self._error(
                    f"got {task['name']!r} twice, expected names to differ", (*where, "name")
                )
            seen.add(task["name"])
            self._check_task(task, where, final=section == "finally")
        self._check_order()
        self._check_results()

    def _all(self) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        for section in ("tasks", "finally"):
            for index, task in enumerate(self._spec.get(section, [])):
                yield section, index, task

    def _error(self, problem: str, where: FieldPath, hint: str = "") -> Exception:
        return self._document.error(problem, (*self._path, *where), hint=hint)

    def _check_task(self, task: Mapping[str, Any], where: FieldPath, *, final: bool) -> None:
        document, path = self._document, (*self._path, *where)
        if not _NAME.fullmatch(task["name"]):
            raise self._error(
                f"got {task['name']!r}, expected lower case letters, digits and -, a letter first",
                (*where, "name"),
            )
        check_one_of(document, path, ("taskRef", "taskSpec", "pipelineRef", "pipelineSpec"))
        for field in ("taskRef", "pipelineRef"):
            if field in task:
                check_reference(document, (*path, field), task[field])
        check_when(document, path, task)
        check_matrix(document, path, task)
        check_unique(document, (*path, "params"))
        check_unique(document, (*path, "workspaces"))
        if final and "runAfter" in task:
            raise self._error(
                "got runAfter in finally, expected none: all of them start together",
                (*where, "runAfter"),
            )
        if task.get("retries", 0) < 0:
            raise self._error(f"got {task['retries']}, expected 0 or more", (*where, "retries"))
        for index, parent in enumerate(task.get("runAfter", [])):
            if parent not in self._tasks:
                raise self._error(
                    f"got {parent!r}, expected a task of this pipeline ({', '.join(self._tasks)})",
                    (*where, "runAfter", index),
                )
        self._check_bindings(task, where)
        self._check_references(task, where, final=final)
        self._check_spec(task, where, final=final)

    def _check_spec(self, task: Mapping[str, Any], where: FieldPath, *, final: bool) -> None:
        """The Task behind a pipeline task, and whether it is given what it needs."""
        path = (*self._path, *where)
        if "pipelineRef" in task or "pipelineSpec" in task:
            self._check_inner(task, path)
            return
        embedded = "taskSpec" in task
        if embedded:
            own = {item["name"] for item in task.get("params", [])} | matrix_params(task)
            check_task(
                self._document,
                (*path, "taskSpec"),
                known=lambda key: (
                    (key[0] == "params" and key[1] in own)
                    or not self._problem(key, task["name"], final=final)
                    or (key[0] == "workspaces" and key[1] in self._workspace_names())
                ),
            )
            spec: Mapping[str, Any] | None = task["taskSpec"]
        else:
            spec = self._definitions.get(task["taskRef"].get("name", ""))
        if spec is None:
            return
        given = {item["name"]: item["value"] for item in task.get("params", [])}
        given |= dict.fromkeys(matrix_params(task), "$(a string of the matrix)")
        specs = spec.get("params", [])
        if embedded:
            around = {item["name"] for item in self._params}
            specs = [item for item in specs if item["name"] in given or item["name"] not in around]
        check_given_params(self._document, path, specs, given, extra=embedded)
        bound = {item["name"] for item in task.get("workspaces", [])}
        bound |= self._workspace_names() if embedded else set()
        for workspace in spec.get("workspaces", []):
            if workspace["name"] not in bound and not workspace.get("optional"):
                raise self._error(
                    f"got no binding for workspace {workspace['name']}, which is not optional",
                    where,
                )
        for index, item in enumerate(task.get("workspaces", [])):
            declared = [workspace["name"] for workspace in spec.get("workspaces", [])]
            if item["name"] not in declared and not embedded:
                raise self._error(
                    f"got {item['name']!r}, expected a workspace the Task declares"
                    f" ({', '.join(declared) or 'none is'})",
                    (*where, "workspaces", index, "name"),
                )

    def _check_inner(self, task: Mapping[str, Any], path: FieldPath) -> None:
        if "matrix" in task:
            raise self._document.error(
                "got a matrix for a pipeline, expected one for a task: Tekton gives its params to"
                " no child PipelineRun",
                (*path, "matrix"),
            )
        if "pipelineSpec" in task:
            check_pipeline(self._document, (*path, "pipelineSpec"), self._others)

    def _workspace_names(self) -> set[str]:
        return {item["name"] for item in self._workspaces}

    def _check_bindings(self, task: Mapping[str, Any], where: FieldPath) -> None:
        names = self._workspace_names()
        for index, item in enumerate(task.get("workspaces", [])):
            field = "workspace" if "workspace" in item else "name"
            if item[field] not in names:
                raise self._error(
                    f"got {item[field]!r}, expected a workspace the pipeline declares"
                    f" ({', '.join(sorted(names)) or 'none is'})",
                    (*where, "workspaces", index, field),
                )

    def _check_references(self, task: Mapping[str, Any], where: FieldPath, *, final: bool) -> None:
        def visit(text: str, inner: FieldPath) -> None:
            for key in references(text):
                problem = self._problem(key, task["name"], final=final)
                if problem:
                    raise self._error(f"got $({shown(key)}), {problem}", (*where, *inner))

        walk_strings({key: task[key] for key in _WITH_REFERENCES if key in task}, visit)
        for place, item in matrix_items(task):
            walk_strings(
                item["value"],
                lambda text, inner, at=place: visit(text, ("matrix", *at, "value", *inner)),  # type: ignore[misc]
            )

    def _problem(self, key: Key, task: str, *, final: bool) -> str:
        """What is wrong with a reference of a pipeline task; empty where it is right."""
        match key:
            case ("params", name, *_):
                names = [item["name"] for item in self._params]
                if name in names:
                    return ""
                return f"expected a declared param ({', '.join(names) or 'none is declared'})"
            case ("context", *rest):
                return "" if tuple(rest) in _CONTEXT else "which a Pipeline does not know"
            case ("workspaces", name, "bound"):
                return "" if name in self._workspace_names() else "expected a declared workspace"
            case ("tasks", "status"):
                return "" if final else "which only finally tasks know"
            case ("tasks", name, state) if state in _STATES:
                if not final:
                    return "which only finally tasks know"
                return "" if name in self._tasks else "expected a task outside finally"
            case ("tasks", name, "results", result, *_):
                return self._result_problem(name, result, task)
            case ("tasks", name, "matrix", *_) if graph.is_matrix_length(key):
                matrixed = "matrix" in self._tasks.get(name, {})
                return "" if matrixed else "expected a task with a matrix"
            case ("tasks", name, "inputs" | "outputs", *_):
                return "" if name in self._tasks else "expected a task outside finally"
            case ("tasks" | "finally" | "workspaces", *_):
                return "which a Pipeline does not know here"
        return "" if "." not in shown(key) else "which a Pipeline does not know"

    def _result_problem(self, name: str, result: str, task: str) -> str:
        if name == task:
            return "but a task cannot use its own result"
        if name not in self._tasks:
            return f"expected a task outside finally ({', '.join(self._tasks)})"
        if "pipelineRef" in self._tasks[name] or "pipelineSpec" in self._tasks[name]:
            return (
                "but the referenced task uses pipelineRef or pipelineSpec, and Tekton propagates"
                " no results from child Pipelines"
            )
        return self._undeclared_result(self._tasks[name], result)

    def _undeclared_result(self, task: Mapping[str, Any], result: str) -> str:
        spec = task.get("taskSpec") or self._definitions.get(task.get("taskRef", {}).get("name"))
        if spec is None:
            return ""
        names = [item["name"] for item in spec.get("results", [])]
        if result in names:
            return ""
        return f"expected a result of {task['name']} ({', '.join(names) or 'none is declared'})"

    def _check_order(self) -> None:
        cycle = graph.find_cycle(self._spec["tasks"])
        if cycle:
            index = [task["name"] for task in self._spec["tasks"]].index(cycle[0])
            raise self._error(
                f"got the cycle {' → '.join(cycle)}, expected an order in which they can run",
                ("tasks", index),
            )

    def _check_results(self) -> None:
        for index, item in enumerate(self._spec.get("results", [])):
            where: FieldPath = ("results", index, "value")
            found = list(references(item["value"]))
            if not found:
                raise self._error("got no $(tasks.NAME.results.RESULT), expected one", where)
            for key in found:
                problem = "expected $(tasks.NAME.results.RESULT)"
                if len(key) >= 4 and key[0] in {"tasks", "finally"} and key[2] == "results":
                    section = self._tasks if key[0] == "tasks" else self._finals
                    if key[1] in section:
                        problem = self._undeclared_result(section[key[1]], key[3])
                    else:
                        problem = f"expected a task under {key[0]} ({', '.join(section)})"
                if problem:
                    raise self._error(f"got $({shown(key)}), {problem}", where)
