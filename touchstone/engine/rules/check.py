"""What is wrong with these documents, all of it, and who refuses it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from touchstone.documents.fits import check_shape
from touchstone.documents.naming import check_metadata
from touchstone.documents.problems import Field, Problem
from touchstone.documents.yaml import Document
from touchstone.engine.rules.params import known_params
from touchstone.engine.rules.pipeline import check_pipeline
from touchstone.engine.rules.runs import check_pipeline_run, check_task_run
from touchstone.engine.rules.step_action import check_step_action
from touchstone.engine.rules.task import check_task
from touchstone.engine.rules.variables import task_names
from touchstone.engine.text.fields import KINDS

_OLDER = "tekton.dev/v1beta1"
"""Still served by Tekton; the engine reads v1 alone."""


def validate(documents: Sequence[Document]) -> None:
    """Refuse the first thing that keeps these documents from running. Raises ManifestError.

    References between the documents given are checked too; a reference to a Task or Pipeline that
    is not among them is left to whoever runs it.
    """
    for document in documents:
        if document.kind not in KINDS:
            raise document.error(
                f"got {document.kind!r}, expected one of {', '.join(KINDS)}",
                ("kind",) if "kind" in document.body else (),
            )
    for problem in find(documents):
        if not problem.runs_here:
            raise problem.error()


def find(documents: Sequence[Document]) -> list[Problem]:
    """All problems in the order of the documents, which are of the kinds in `KINDS`.

    A document whose fields have not their shape is told that alone.
    """
    fields = [Field(document, [], document.body) for document in documents]
    sound = [field for field in fields if _has_its_shape(field)]
    others = [field.document for field in sound]
    seen: dict[tuple[str, str], Document] = {}
    for field in sound:
        check_metadata(field)
        _check_first(field, seen)
        if field.document.kind in _RULES:
            _RULES[field.document.kind](field, others)
    return [problem for field in fields for problem in field.problems]


def is_shaped(document: Document) -> bool:
    """Whether a document of one of the `KINDS` has only fields that fit and are honored here."""
    field = Field(document, [], document.body)
    return _has_its_shape(field) and not field.problems


def _has_its_shape(field: Field) -> bool:
    kind = field.document.kind
    if field.get("apiVersion") == _OLDER and kind != "StepAction":
        field.refuse(f"got {_OLDER!r}, expected tekton.dev/v1", "apiVersion", by="embedded")
        return False
    check_shape(field, KINDS[kind])
    return all(problem.refused_by != "tekton" for problem in field.problems)


def _check_first(field: Field, seen: dict[tuple[str, str], Document]) -> None:
    document = field.document
    first = seen.setdefault((document.kind, document.name), document)
    if document.name and first.location() != document.location():
        field.refuse(
            f"got a second {document.kind} of that name, expected names to differ",
            "metadata",
            "name",
            hint=f"the first is at {first.location()}",
            by="embedded",
        )


def _check_task(document: Field, _: Sequence[Document]) -> None:
    task = document.at("spec")
    params = known_params(task.value)
    check_task(task, task_names(task, params, params))


_RULES: dict[str, Callable[[Field, Sequence[Document]], None]] = {
    "Task": _check_task,
    "Pipeline": lambda document, others: check_pipeline(document.at("spec"), others),
    "TaskRun": check_task_run,
    "PipelineRun": check_pipeline_run,
    "StepAction": lambda document, _: check_step_action(document),
}
