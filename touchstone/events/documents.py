"""YAML documents that still know where each of their fields was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from touchstone.errors import ManifestError

Place = tuple[str | int, ...]
"""Keys and indices that lead to a field, from the document's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document of a file."""

    file: Path
    content: dict[str, Any]
    marks: dict[Place, tuple[int, int]]
    """Line and column, from 1, of every field."""

    def location(self, place: Place = ()) -> str:
        """`file:line:column` of the field, or of the nearest one around it that is written."""
        while place and place not in self.marks:
            place = place[:-1]
        line, column = self.marks[place]
        return f"{self.file}:{line}:{column}"


def read(file: Path) -> Iterator[Document]:
    """The documents of `file`, empty ones left out.

    Raises:
        ManifestError: the file cannot be read, is not YAML, or a document is not a mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        contents = list(yaml.safe_load_all(text))
    except OSError as error:
        raise ManifestError(
            f"got {error.strerror}, expected a YAML file", location=str(file)
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        problem = getattr(error, "problem", None) or error
        raise ManifestError(f"got broken YAML: {problem}", location=where) from None
    for node, content in zip(nodes, contents, strict=True):
        if content is None:
            continue
        marks = dict(_marks(node, ()))
        document = Document(file=file, content=content, marks=marks)
        if not isinstance(content, dict):
            raise ManifestError(
                f"got a {type(content).__name__}, expected a mapping with apiVersion and kind",
                location=document.location(),
            )
        yield document


def _marks(node: yaml.Node, place: Place) -> Iterator[tuple[Place, tuple[int, int]]]:
    yield place, (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _marks(value, (*place, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _marks(value, (*place, index))
