"""The Tekton Triggers objects of some files, checked one by one, found by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.documents.kubectl import load_files
from touchstone.documents.problems import Problem
from touchstone.documents.yaml import Document
from touchstone.errors import ManifestError
from touchstone.events.kinds import SPECS
from touchstone.events.rules import GROUP, checked

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object of the group triggers.tekton.dev."""

    kind: str
    name: str
    namespace: str
    """Empty for kinds that live in none."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Any
    """An instance of the kind's model in touchstone.events.kinds."""
    document: Document


class Catalog:
    """All objects by kind, namespace and name."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self._objects: dict[tuple[str, str, str], Object] = {}
        for item in objects:
            key = (item.kind, item.namespace, item.name)
            if key in self._objects:
                raise ManifestError(
                    f"got a second {item.kind} {item.name!r}, expected one",
                    location=item.document.location(("metadata", "name")),
                )
            self._objects[key] = item

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """The object of that name, or None."""
        return self._objects.get((kind, namespace if SPECS[kind][2] else "", name))

    def all(self, kind: str) -> list[Object]:
        """Every object of that kind, in the order of the files."""
        return [item for item in self._objects.values() if item.kind == kind]


def load(paths: Sequence[Path]) -> Catalog:
    """Read files, and folders with all YAML below them; documents of other groups are left alone.

    Raises:
        ManifestError: a document is wrong; the message begins with file:line:column.
    """
    objects = []
    for document in load_files(paths):
        if is_ours(document):
            item, problems = read(document)
            if item is None:
                raise problems[0].error()
            objects.append(item)
    return Catalog(objects)


def is_ours(document: Document) -> bool:
    """Whether the document is of the group triggers.tekton.dev."""
    return str(document.body.get("apiVersion", "")).startswith(GROUP)


def read(document: Document) -> tuple[Object | None, list[Problem]]:
    """The object that a document describes, or all that is wrong with it."""
    problems, metadata, spec = checked(document)
    if problems:
        return None, problems
    namespaced = SPECS[document.kind][2]
    item = Object(
        kind=document.kind,
        name=metadata.name,
        namespace=(metadata.namespace or DEFAULT_NAMESPACE) if namespaced else "",
        labels=metadata.labels,
        annotations=metadata.annotations,
        spec=spec,
        document=document,
    )
    return item, []
