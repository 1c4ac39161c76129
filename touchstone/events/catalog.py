"""The Tekton Triggers objects of some files, checked one by one, found by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from touchstone.errors import ManifestError
from touchstone.events.documents import Document, read
from touchstone.events.kinds import SPECS

_GROUP = "triggers.tekton.dev/"
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
    """Read files and folders (`*.yaml` in them); documents of other groups are left alone.

    Raises:
        ManifestError: a document is wrong; the message begins with file:line:column.
    """
    return Catalog(
        _object(document)
        for document in read_all(paths)
        if str(document.content.get("apiVersion", "")).startswith(_GROUP)
    )


def read_all(paths: Sequence[Path]) -> Iterator[Document]:
    """Every document of the files, and of the `*.yaml` files of the folders, sorted by name."""
    for path in paths:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            yield from read(file)


def _object(document: Document) -> Object:
    content = document.content
    kind = str(content.get("kind"))
    version, model, namespaced = SPECS.get(kind, ("", None, False))
    if model is None or content["apiVersion"] != version:
        wanted = f"{version} {kind}" if model else f"one of {list(SPECS)}"
        raise ManifestError(
            f"got {content['apiVersion']} {kind}, expected {wanted}",
            location=document.location(("kind",)),
            hint="the embedded listener reads no other version of Tekton Triggers",
        )
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise ManifestError(
            f"got no name, expected metadata.name of the {kind}",
            location=document.location(("metadata",)),
        )
    try:
        spec = model.model_validate(content.get("spec"))
    except ValidationError as error:
        raise wrong(document, error) from None
    return Object(
        kind=kind,
        name=name,
        namespace=str(metadata.get("namespace") or DEFAULT_NAMESPACE) if namespaced else "",
        labels=_texts(document, "labels"),
        annotations=_texts(document, "annotations"),
        spec=spec,
        document=document,
    )


def wrong(document: Document, error: ValidationError) -> ManifestError:
    """The first problem of a spec that its model refuses, with its place in the file."""
    first = error.errors()[0]
    place = ("spec", *first["loc"])
    problem = first["msg"]
    if first["type"] == "extra_forbidden":
        problem = "there is no such field"
    return ManifestError(
        f"{'.'.join(str(step) for step in place)}: {problem}", location=document.location(place)
    )


def _texts(document: Document, field: str) -> dict[str, str]:
    found = document.content["metadata"].get(field) or {}
    if not isinstance(found, dict):
        raise ManifestError(
            f"got metadata.{field} {found!r}, expected a mapping of texts",
            location=document.location(("metadata", field)),
        )
    return {str(name): str(text) for name, text in found.items()}
