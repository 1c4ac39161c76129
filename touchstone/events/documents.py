"""The several YAML documents of one file, each still knowing where its fields were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import ManifestError
from touchstone.yaml import load_all, locate

Place = tuple[str | int, ...]
"""Keys and indices that lead to a field, from the document's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document of a file."""

    file: Path
    content: dict[str, Any]

    def location(self, place: Place = ()) -> str:
        """`file:line:column` of the field, or of the nearest one around it that is written."""
        # The document's own place is that of its first key.
        return locate(self.content, place or tuple(self.content)[:1], name=str(self.file))


def read(file: Path) -> Iterator[Document]:
    """The documents of `file`, empty ones left out.

    Raises:
        ManifestError: the file cannot be read, is not YAML or repeats a key, or a document is not
            a mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(
            f"got {error.strerror}, expected a YAML file", location=str(file)
        ) from None
    except UnicodeDecodeError:
        raise ManifestError("got bytes that are not UTF-8", location=str(file)) from None
    for content in load_all(text, name=str(file)):
        if content is None:
            continue
        if not isinstance(content, dict):
            raise ManifestError(
                f"got a {type(content).__name__}, expected a mapping with apiVersion and kind",
                location=str(file),
            )
        yield Document(file=file, content=content)
