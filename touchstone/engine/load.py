"""Which Tekton documents are in these files, and where does each field stand?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from touchstone.engine.decode import decoded
from touchstone.errors import ManifestError
from touchstone.yaml import load_all

FieldPath = tuple[str | int, ...]
"""Keys and indices from the top of a document down to a field."""


@dataclass(frozen=True)
class Document:
    """One YAML document as Tekton reads it, with the positions its file gave it."""

    body: Mapping[str, Any]
    source: str
    """File name, or the run's name for a document that came from no file."""

    marks: Any = None
    """ruamel's tree of the same document; None where there is no file to point into."""

    @cached_property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @cached_property
    def name(self) -> str:
        metadata = self.body.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""

    def location(self, path: Sequence[str | int] = ()) -> str:
        """`file:line:column` of the field at `path`, or of the nearest thing above it."""
        if self.marks is None:
            return self.source
        node, line, column = self.marks, self.marks.lc.line, self.marks.lc.col
        for part in path:
            try:
                line, column = node.lc.key(part) if _is_map(node) else node.lc.item(part)
                node = node[part]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return f"{self.source}:{line + 1}:{column + 1}"

    def error(
        self, problem: str, path: Sequence[str | int] = (), *, hint: str = ""
    ) -> ManifestError:
        """A ManifestError that names the field at `path` and where it stands."""
        field = field_name(path)
        return ManifestError(
            f"{field}: {problem}" if field else problem, location=self.location(path), hint=hint
        )


def field_name(path: Sequence[str | int]) -> str:
    """`spec.steps[0].image` for ("spec", "steps", 0, "image")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load_files(paths: Iterable[Path]) -> list[Document]:
    """Every document of the given YAML files; a folder stands for all YAML files below it.

    Raises ManifestError for broken YAML, a document that is no mapping, or a missing file.
    """
    documents: list[Document] = []
    for path in paths:
        files = (
            sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml"})
            if path.is_dir()
            else [path]
        )
        for file in files:
            documents.extend(_load(file))
    return documents


def load_text(text: str, source: str) -> list[Document]:
    """The documents in `text`, reported as standing in `source`."""
    documents = []
    for tree in load_all(text, name=source):
        if tree is None:
            continue
        if not _is_map(tree):
            raise ManifestError(
                f"got a {type(tree).__name__} at the top, expected a Kubernetes object (a mapping)",
                location=source,
            )
        documents.append(Document(body=decoded(plain(tree)), source=source, marks=tree))
    return documents


def plain(value: Any) -> Any:
    """The same value in nothing but dict, list, str, int, float, bool and None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _load(file: Path) -> list[Document]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(f"{file}: no such file", hint="check the path given") from None
    except UnicodeDecodeError:
        raise ManifestError("got bytes that are not UTF-8", location=str(file)) from None
    return load_text(text, str(file))


def _is_map(node: Any) -> bool:
    return isinstance(node, CommentedMap) or (
        isinstance(node, Mapping) and not isinstance(node, CommentedSeq)
    )
