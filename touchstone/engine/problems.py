"""Everything wrong with these documents at once, and who refuses it: Tekton or the embedded engine.

`validate` stops at the first thing it cannot run; this finds all that Tekton's admission webhook
would name, and says apart what Tekton admits but the embedded engine refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from touchstone.engine.check_shape import check_shape
from touchstone.engine.fields import KINDS
from touchstone.engine.shapes import ListOf, MapOf, Refused, Shape, Table
from touchstone.engine.validate import validate
from touchstone.errors import ManifestError
from touchstone.yaml import Document, FieldPath

By = Literal["tekton", "embedded"]
_GROUP = "tekton.dev/"
_REFERENCES = {"taskRef", "pipelineRef"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    location: str
    """`file:line:column`, lines and columns from 1."""

    message: str
    """The field, what was got and what was expected."""

    refused_by: By
    """`tekton`: the admission webhook refuses it; `embedded`: only the embedded engine does."""

    hint: str = ""


@dataclass(slots=True)
class Report:
    """Collects the problems of one document."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def add(self, problem: str, path: FieldPath = (), *, hint: str = "", by: By = "tekton") -> None:
        """Note what is wrong with the field at `path`."""
        self.take(self.document.error(problem, path, hint=hint), by)

    def take(self, error: ManifestError, by: By) -> None:
        """Note an error that a check raised."""
        location = error.location or self.document.location()
        message = str(error).removeprefix(f"{location}: ")
        self.problems.append(
            Problem(location=location, message=message, refused_by=by, hint=error.hint)
        )


def find(documents: Sequence[Document]) -> tuple[list[Problem], list[str]]:
    """All problems in the order of the documents, and a note for each document not checked."""
    problems: list[Problem] = []
    notes: list[str] = []
    sound: list[Document] = []
    seen: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        reason = _skipped(document)
        if reason:
            notes.append(f"{document.location()}: {reason}")
            continue
        report = Report(document)
        _check_document(report, seen)
        problems += report.problems
        if not report.problems:
            sound.append(document)
    problems += _refused_here(sound)
    return problems, notes


def _check_document(report: Report, seen: dict[tuple[str, str, str], Document]) -> None:
    from touchstone.engine.admission import check_metadata, rule_for

    document = report.document
    _check_shape(report, document.body, KINDS[document.kind], ())
    if any(problem.refused_by == "tekton" for problem in report.problems):
        return  # rules on the meaning would only repeat what a wrong shape already is
    check_metadata(report)
    key = (document.source, document.kind, document.name)
    if document.name and key in seen:
        report.add(
            f"got a second {document.kind} of that name, expected names to differ",
            ("metadata", "name"),
            hint=f"the first is at {seen[key].location()}",
        )
    seen.setdefault(key, document)
    rule = rule_for(document.kind)
    if rule:
        rule(report)


def _skipped(document: Document) -> str:
    """Why a document is none of ours to check; empty where it is."""
    version = str(document.body.get("apiVersion", ""))
    if document.kind in KINDS:
        return ""
    if version.startswith("triggers.tekton.dev/"):
        return f"{document.kind} not checked: the EventListener checks Triggers' kinds"
    kind = document.kind or "a document without kind"
    return f"{kind} not checked: only {', '.join(KINDS)} are"


def _check_shape(report: Report, value: Any, shape: Shape, path: FieldPath) -> None:
    """Every field that does not fit its shape, where `check_shape` stops at the first."""
    match shape:
        case Table() if isinstance(value, Mapping):
            known = {key: item for key, item in value.items() if key in shape.fields}
            refused = any(isinstance(shape.fields[key], Refused) for key in known)
            for key, item in known.items():
                _check_shape(report, item, shape.fields[key], (*path, key))
            for key, item in value.items():
                if key not in known:
                    stray = {key: item}
                    _try(report, partial(check_shape, report.document, stray, shape, path))
            missing = [name for name in shape.required if name not in value]
            if missing and not refused:
                only = Table(shape.title, {}, tuple(missing[:1]))
                _try(report, lambda: check_shape(report.document, {}, only, path))
        case ListOf(of=of) if isinstance(value, list):
            for index, item in enumerate(value):
                _check_shape(report, item, of, (*path, index))
        case MapOf(of=of) if isinstance(value, Mapping):
            for key, item in value.items():
                _check_shape(report, item, of, (*path, key))
        case _:
            reference = len(path) > 1 and path[-2] in _REFERENCES and path[-1] != "name"
            by: By = "embedded" if isinstance(shape, Refused) or reference else "tekton"
            _try(report, lambda: check_shape(report.document, value, shape, path), by)


def _try(report: Report, check: Callable[[], None], by: By = "tekton") -> None:
    try:
        check()
    except ManifestError as error:
        report.take(error, by)


def _refused_here(documents: Sequence[Document]) -> Iterator[Problem]:
    """What the engine itself refuses of documents that Tekton admits: the first in each."""
    for document in documents:
        report = Report(document)
        others = [other for other in documents if other is not document]
        try:
            validate([document])
            validate([document, *_consistent(others)])
        except ManifestError as error:
            report.take(error, "embedded")
        yield from report.problems


def _consistent(documents: Sequence[Document]) -> Iterator[Document]:
    """Those that the engine accepts on their own, so that each error is told once."""
    for document in documents:
        try:
            validate([document])
        except ManifestError:
            continue
        yield document
