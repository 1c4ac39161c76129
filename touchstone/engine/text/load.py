"""Which Tekton documents are in these files? YAML with places, read as kubectl and Tekton do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from touchstone.documents import kubectl
from touchstone.documents.yaml import Document
from touchstone.engine.text.decode import decoded


def load_files(paths: Iterable[Path]) -> list[Document]:
    """The documents of the files and folders. Raises ManifestError as kubectl does."""
    return [_decoded(document) for document in kubectl.load_files(paths)]


def load_text(text: str, source: str) -> list[Document]:
    """The documents in `text`, reported as standing in `source`. Raises ManifestError."""
    return [_decoded(document) for document in kubectl.load_text(text, source)]


def _decoded(document: Document) -> Document:
    return replace(document, body=decoded(document.body))
