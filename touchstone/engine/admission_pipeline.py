"""Tekton's admission rules for Pipelines and PipelineRuns; every problem is found, not only one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from touchstone.engine import durations, graph
from touchstone.engine.admission import (
    Json,
    check_bindings,
    check_exactly_one,
    check_names,
    check_params,
    check_task,
    check_when,
    known_params,
    param_problem,
    written,
)
from touchstone.engine.substitute import references, walk_strings
from touchstone.yaml import FieldPath

if TYPE_CHECKING:
    from touchstone.engine.problems import Report

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PREFIXES = ("params", "tasks", "finally", "context", "workspaces", "results")
_CONTEXT = {
    "pipelineRun": {"name", "namespace", "uid"},
    "pipeline": {"name"},
    "pipelineTask": {"retries"},
}
_STATES = {"status", "reason"}
_RUN_STATUS = ("Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunPending")
_DEFAULT_TIMEOUT = 3600.0
_LARGEST_MATRIX = 256


def check_pipeline_object(report: Report) -> None:
    """A Pipeline of its own, which knows only what it declares."""
    _Pipeline(report, report.document.body["spec"], ("spec",), {}).check()


def check_pipeline_run(report: Report) -> None:
    """A PipelineRun; its params and workspaces reach into a pipelineSpec it embeds."""
    spec = report.document.body["spec"]
    check_exactly_one(report, spec, ("spec",), ("pipelineRef", "pipelineSpec"))
    check_names(report, spec.get("params", []), ("spec", "params"), fold=True)
    check_bindings(report, spec)
    _check_timeouts(report, spec)
    status = spec.get("status")
    if status is not None and status not in _RUN_STATUS:
        report.add(f"got {status!r}, expected {' or '.join(_RUN_STATUS)}", ("spec", "status"))
    for index, param in enumerate(spec.get("params", [])):
        for key in references(param["value"]):
            if graph.is_result(key):
                report.add(
                    f"got {written(key)}, expected no result of a task in a run's param",
                    ("spec", "params", index, "value"),
                )
    if "pipelineSpec" in spec:
        _Pipeline(report, spec["pipelineSpec"], ("spec", "pipelineSpec"), spec).check()


def _check_timeouts(report: Report, spec: Json) -> None:
    limits = {name: durations.seconds(text) for name, text in spec.get("timeouts", {}).items()}
    whole = limits.get("pipeline", _DEFAULT_TIMEOUT)
    if not whole:
        return
    for name in ("tasks", "finally"):
        part = limits.get(name)
        if part is not None and (part > whole or part == 0):
            report.add(
                f"got {spec['timeouts'][name]!r}, expected at most the pipeline's"
                f" {durations.go_text(whole)}",
                ("spec", "timeouts", name),
            )
    if limits.get("tasks", 0.0) + limits.get("finally", 0.0) > whole and len(limits) > 1:
        report.add(
            f"got tasks + finally above the pipeline's {durations.go_text(whole)},"
            " expected at most that",
            ("spec", "timeouts"),
        )


class _Pipeline:
    def __init__(self, report: Report, spec: Json, path: FieldPath, run: Json) -> None:
        self._report, self._spec, self._path, self._run = report, spec, path, run
        self._tasks = {task["name"]: task for task in spec.get("tasks", [])}
        self._finals = {task["name"]: task for task in spec.get("finally", [])}
        self._params = {item["name"]: item for item in known_params(spec, run)}
        self._workspaces = {
            item["name"] for holder in (spec, run) for item in holder.get("workspaces", [])
        }

    def check(self) -> None:
        if not self._spec.get("tasks"):
            self._add("got no task, expected at least one", ("tasks",))
        check_params(self._report, self._spec.get("params", []), (*self._path, "params"))
        for part in ("workspaces", "results"):
            check_names(self._report, self._spec.get(part, []), (*self._path, part))
        seen: set[str] = set()
        for section, index, task in self._all():
            if task["name"] in seen:
                self._add(
                    f"got {task['name']!r} twice, expected names to differ",
                    (section, index, "name"),
                )
            seen.add(task["name"])
            self._check_task(task, (section, index), final=section == "finally")
        self._check_order()
        self._check_results()

    def _add(self, problem: str, where: FieldPath) -> None:
        self._report.add(problem, (*self._path, *where))

    def _all(self) -> Iterator[tuple[str, int, Json]]:
        for section in ("tasks", "finally"):
            for index, task in enumerate(self._spec.get(section, [])):
                yield section, index, task

    def _check_task(self, task: Json, where: FieldPath, *, final: bool) -> None:
        report, path = self._report, (*self._path, *where)
        if not _LABEL.fullmatch(task["name"]):
            self._add(
                f"got {task['name']!r}, expected a DNS label: lower case letters, digits and -",
                (*where, "name"),
            )
        check_exactly_one(
            report, task, path, ("taskRef", "taskSpec", "pipelineRef", "pipelineSpec")
        )
        check_names(report, task.get("params", []), (*path, "params"))
        check_names(report, task.get("workspaces", []), (*path, "workspaces"))
        check_when(report, task.get("when", []), (*path, "when"))
        if final and task.get("runAfter"):
            self._add("got runAfter in finally, expected none there", (*where, "runAfter"))
        if task.get("onError") == "continue" and task.get("retries", 0) > 0:
            self._add("got continue beside retries, expected one of them", (*where, "onError"))
        for index, item in enumerate(task.get("workspaces", [])):
            field = "workspace" if item.get("workspace") else "name"
            if item[field] not in self._workspaces:
                self._add(
                    f"got {item[field]!r}, expected a workspace the pipeline declares"
                    f" ({', '.join(sorted(self._workspaces)) or 'none is'})",
                    (*where, "workspaces", index, field),
                )
        self._check_matrix(task, where)
        self._check_references(task, where, final=final)
        if "taskSpec" in task and "steps" in task["taskSpec"]:
            known = known_params(task["taskSpec"], task, self._spec, self._run)
            check_task(report, task["taskSpec"], (*path, "taskSpec"), known)

    def _check_matrix(self, task: Json, where: FieldPath) -> None:
        matrix = task.get("matrix")
        if not isinstance(matrix, Mapping):
            return
        params = matrix.get("params", [])
        check_names(self._report, params, (*self._path, *where, "matrix", "params"))
        given = {item["name"] for item in task.get("params", [])}
        combinations = 1
        for index, item in enumerate(params):
            if item.get("name") in given:
                self._add(
                    f"got {item['name']!r} in matrix and in params, expected it in one of them",
                    (*where, "matrix", "params", index, "name"),
                )
            value = item.get("value")
            combinations *= max(1, len(value)) if isinstance(value, list) else 1
        if combinations > _LARGEST_MATRIX:
            self._add(
                f"got {combinations} combinations, expected at most {_LARGEST_MATRIX}",
                (*where, "matrix"),
            )

    def _check_references(self, task: Json, where: FieldPath, *, final: bool) -> None:
        def visit(text: str, inner: FieldPath) -> None:
            if inner[:2] == ("matrix", "include") and inner[-1] == "name":
                return  # a combination's name is read by the param it stands for
            for key in references(text):
                problem = self._problem(key, task["name"], final=final)
                if problem:
                    self._add(f"got {written(key)}, {problem}", (*where, *inner))

        parts = {key: task[key] for key in ("params", "when", "matrix") if key in task}
        walk_strings(parts, visit)

    def _problem(self, key: Sequence[str], task: str, *, final: bool) -> str:
        """What is wrong with a reference of a pipeline task; empty where nothing is."""
        match tuple(key):
            case ("params", name, *rest):
                return param_problem(self._params, name, rest)
            case ("context", of, name) if of in _CONTEXT and name not in _CONTEXT[of]:
                return f"expected one of {', '.join(sorted(_CONTEXT[of]))}"
            case ("tasks", "status") | ("tasks", _, "status" | "reason") if not final:
                return "which only finally tasks know"
            case ("tasks", name, state) if state in _STATES and name not in self._tasks:
                return "expected a task outside finally"
            case ("tasks", name, "results", *_) if name == task:
                return "but a task cannot use its own result"
            case ("tasks", name, "results", result, *_):
                return self._result_problem(name, result)
            case (prefix, *_) if prefix not in _PREFIXES:
                return (
                    f"expected one of {', '.join(_PREFIXES)} first; a shell variable is ${{NAME}}"
                )
        return ""

    def _result_problem(self, name: str, result: str) -> str:
        if name not in self._tasks:
            return f"expected a task outside finally ({', '.join(self._tasks)})"
        spec: Any = self._tasks[name].get("taskSpec", {})
        names = [item["name"] for item in spec.get("results", [])]
        if "steps" in spec and result not in names:
            return f"expected a result of {name} ({', '.join(names) or 'none is declared'})"
        return ""

    def _check_order(self) -> None:
        for index, task in enumerate(self._spec.get("tasks", [])):
            for place, parent in enumerate(task.get("runAfter", [])):
                if parent not in self._tasks:
                    self._add(
                        f"got {parent!r}, expected a task of this pipeline"
                        f" ({', '.join(self._tasks)})",
                        ("tasks", index, "runAfter", place),
                    )
        cycle = graph.find_cycle(self._spec.get("tasks", []))
        if cycle:
            index = [task["name"] for task in self._spec["tasks"]].index(cycle[0])
            self._add(
                f"got the cycle {' → '.join(cycle)}, expected an order in which they can run",
                ("tasks", index),
            )

    def _check_results(self) -> None:
        for index, item in enumerate(self._spec.get("results", [])):
            where: FieldPath = ("results", index, "value")
            found = list(references(item["value"]))
            if not found:
                self._add("got no $(tasks.NAME.results.RESULT), expected one", where)
            for key in found:
                section = {"tasks": self._tasks, "finally": self._finals}.get(key[0])
                if section is None or len(key) < 4 or key[2] != "results":
                    self._add(f"got {written(key)}, expected $(tasks.NAME.results.RESULT)", where)
                elif key[1] not in section:
                    self._add(
                        f"got {written(key)}, expected a task under {key[0]}"
                        f" ({', '.join(section)})",
                        where,
                    )
