"""Are these documents Tekton objects that this engine can honour to the letter?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from touchstone.engine.check_pipeline import check_pipeline, check_pipeline_run
from touchstone.engine.check_shape import check_shape
from touchstone.engine.check_task import check_task, check_task_run
from touchstone.engine.fields import KINDS
from touchstone.yaml import Document, FieldPath

_RULES: dict[str, Callable[[Document, Sequence[Document]], None]] = {
    "Task": lambda document, _: check_task(document, ("spec",)),
    "Pipeline": lambda document, others: check_pipeline(document, ("spec",), others),
    "PipelineRun": check_pipeline_run,
    "TaskRun": check_task_run,
}


def validate(documents: Sequence[Document]) -> None:
    """Refuse the first thing that is wrong. Raises ManifestError naming file:line:column and field.

    References between the documents given are checked too; a reference to a Task or Pipeline that
    is not among them is left to whoever runs it.
    """
    seen: dict[tuple[str, str], Document] = {}
    for document in documents:
        shape = KINDS.get(document.kind)
        kind: FieldPath = ("kind",)
        if shape is None:
            raise document.error(
                f"got {document.kind!r}, expected one of {', '.join(KINDS)}",
                kind if "kind" in document.body else (),
            )
        check_shape(document, document.body, shape, ())
        names = ("name", "generateName") if document.kind.endswith("Run") else ("name",)
        if not any(document.body["metadata"].get(field) for field in names):
            raise document.error(f"got no {' or '.join(names)}, expected one", ("metadata",))
        key = (document.kind, document.name)
        if document.name and key in seen and seen[key].location() != document.location():
            raise document.error(
                f"got a second {document.kind} of that name, expected names to differ",
                ("metadata", "name"),
                hint=f"the first is at {seen[key].location()}",
            )
        seen[key] = document
    for document in documents:
        if document.kind in _RULES:
            _RULES[document.kind](document, documents)
