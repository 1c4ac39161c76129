"""What is a PipelineRun to do, with everything it was given and refers to?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from touchstone.documents.yaml import Document, FieldPath
from touchstone.engine.language.substitute import Key, Scope, Value, references, scope_of
from touchstone.engine.language.values import as_value, pipeline_params
from touchstone.engine.plan.references import Definition, References, not_found, replaced_reference
from touchstone.engine.plan.task_run import Metadata, uid
from touchstone.errors import ManifestError
from touchstone.runs.record import Json


class RunFailedError(Exception):
    """The PipelineRun cannot go on: why, in the words of its condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_INDEXED = ("params", "matrix", "when", "workspaces", "displayName")
"""Fields of a pipeline task whose references to items of an array must all be there."""


@dataclass(frozen=True, kw_only=True)
class PlannedPipelineRun:
    """A PipelineRun, at the top or for a pipeline inside a pipeline."""

    name: str
    pipeline: str
    """What $(context.pipeline.name) says."""

    spec: Mapping[str, Any]
    document: Document
    """Where the Pipeline's spec stands, for messages."""

    path: FieldPath
    references: References
    given: Mapping[str, Value] = field(default_factory=dict)
    bindings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Workspace bindings by the workspace's name in the Pipeline."""

    timeouts: Mapping[str, str] = field(default_factory=dict)
    run_specs: Sequence[Mapping[str, Any]] = ()
    """spec.taskRunSpecs."""

    run_template: Mapping[str, Any] = field(default_factory=dict)
    """spec.taskRunTemplate: podTemplate and serviceAccountName of every TaskRun."""

    metadata: Metadata = field(default_factory=Metadata)
    """What its TaskRuns take over from the run."""

    source: Json | None = None
    """refSource of a Pipeline that was fetched."""

    label: str = ""
    """What goes before the names of its tasks where people read them: PARENT/ for an inner one."""

    ancestors: tuple[str, ...] = ()
    """Names of the Pipelines this one runs inside of."""

    def definition(self, kind: str, task: Mapping[str, Any], scope: Scope) -> Definition:
        """The Task or Pipeline that a pipeline task refers to.

        Raises RunFailedError in Tekton's words where there is none.
        """
        reference = replaced_reference(task[f"{kind.lower()}Ref"], scope)
        try:
            return self.references.find(kind, reference, self.document, self.place(task))
        except ManifestError as error:
            what = "Tasks" if kind == "Task" else "child Pipelines"
            raise RunFailedError(
                f"CouldntGet{kind}",
                f"Pipeline default/{self.pipeline} can't be Run; it contains {what} that don't"
                f' exist: Couldn\'t retrieve {kind} "{reference.get("name", "")}":'
                f" {not_found(kind, reference) or error}",
            ) from None

    def contexts(self, pipeline: str) -> Scope:
        """What $(context...) stands for in a pipeline of that name."""
        return Scope(
            {
                ("context", "pipelineRun", "name"): self.name,
                ("context", "pipelineRun", "namespace"): "default",
                ("context", "pipelineRun", "uid"): uid(self.name),
                ("context", "pipeline", "name"): pipeline,
            }
        )

    def tasks(self) -> Iterator[Mapping[str, Any]]:
        """The pipeline tasks, those of `finally` last."""
        for section in ("tasks", "finally"):
            yield from self.spec.get(section, [])

    def place(self, task: Mapping[str, Any]) -> FieldPath:
        """The path of a pipeline task in `document`."""
        for section in ("tasks", "finally"):
            for index, item in enumerate(self.spec.get(section, [])):
                if item is task:
                    return (*self.path, section, index)
        return self.path


@dataclass(frozen=True)
class Values:
    """What the whole pipeline may refer to, pass by pass."""

    params: Mapping[str, Value]
    written: Mapping[str, Value]
    """The params as far as the Pipeline's author wrote them: those that were given are empty."""

    contexts: Scope
    bound: Scope
    """Which workspaces are bound."""

    @property
    def scope(self) -> Scope:
        """All of it."""
        return scope_of(("params",), self.params).then(self.contexts).then(self.bound)

    def inside(self, task: Mapping[str, Any], *, written: bool = False) -> Scope:
        """What the spec of an embedded Task may refer to; only what is `written`, if so asked.

        The params that its pipeline task gives go before the pipeline's of the same name, items of
        an array and absent keys of an object left out; one of another type leaves nothing.
        """
        params = self.written if written else self.params
        given = given_params(task.get("params", []), scope_of(("params",), params))
        values: dict[Key, Value] = {("params", name): value for name, value in params.items()}
        for name in params.keys() & given.keys():
            ours, own = params[name], given[name]
            if isinstance(ours, list):
                values |= {("params", name, f"[{i}]"): item for i, item in enumerate(ours)}
                values["params", name] = own if isinstance(own, list) else []
            elif isinstance(ours, dict):
                values["params", name] = {**ours, **(own if isinstance(own, dict) else {})}
            else:
                values["params", name] = own if isinstance(own, str) else ""
        return Scope(values).then(self.contexts).then(self.bound)


def values_of(plan: PlannedPipelineRun) -> Values:
    """Params and context of a run.

    Raises ManifestError for a param that is missing or has a wrong value, for a workspace nobody
    bound, and for a taskRunSpec of no task.
    """
    spec = plan.spec
    tasks = [task["name"] for task in plan.tasks()]
    for item in plan.run_specs:
        if item["pipelineTaskName"] not in tasks:
            raise ManifestError(
                f"pipelineRun's taskrunSpecs defined wrong taskName: {item['pipelineTaskName']!r},"
                " does not exist in Pipeline",
                hint=f"expected one of {', '.join(tasks)}",
            )
    specs, of = spec.get("params", []), f"Pipeline {plan.pipeline}"
    params = pipeline_params(specs, plan.given, of=of)
    written = pipeline_params(specs, {k: _empty(v) for k, v in plan.given.items()}, of=of)
    outside = outside_arrays(plan)
    if outside:
        raise ManifestError(
            f"Pipeline {plan.pipeline}: got {', '.join(outside)}, which its array does not have",
            hint="give a longer one, or take an index that it has",
        )
    bound: dict[Key, Value] = {}
    for workspace in spec.get("workspaces", []):
        name = workspace["name"]
        if name not in plan.bindings and not workspace.get("optional"):
            raise ManifestError(
                f"Pipeline {plan.pipeline}: got no binding for workspace {name},"
                " which is not optional",
                hint=f"-w {name}=FOLDER",
            )
        bound["workspaces", name, "bound"] = "false"
    for name in plan.bindings:
        bound["workspaces", name, "bound"] = "true"
    return Values(params, written, plan.contexts(plan.pipeline), Scope(bound))


def outside_arrays(plan: PlannedPipelineRun) -> list[str]:
    """References of pipeline tasks to items that a run's array params do not have."""
    defaults = {item["name"]: item.get("default") for item in plan.spec.get("params", [])}
    values = {**defaults, **plan.given}
    found: dict[str, None] = {}
    for task in plan.tasks():
        for key in references([task.get(part) for part in _INDEXED]):
            index = key[2][1:-1] if key[0] == "params" and len(key) == 3 else ""
            value = values.get(key[1]) if index.isdecimal() else None
            if isinstance(value, list) and int(index) >= len(value):
                found[f"$(params.{key[1]}[{index}])"] = None
    return list(found)


def _empty(value: Value) -> Value:
    """A value of the same form that says nothing."""
    if isinstance(value, str):
        return ""
    return [""] * len(value) if isinstance(value, list) else dict.fromkeys(value, "")


def given_params(items: Sequence[Mapping[str, Any]], scope: Scope) -> dict[str, Value]:
    """A list of params as values by name, references of `scope` replaced."""
    return {item["name"]: scope.apply(as_value(item["value"])) for item in items}
