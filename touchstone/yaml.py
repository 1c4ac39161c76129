"""YAML with places: load a document and tell where each of its fields stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from touchstone.errors import ManifestError


def load(text: str, *, name: str) -> Any:
    """The single document of `text`, its mappings and lists knowing where they stand.

    Raises:
        ManifestError: the text is no YAML, or holds a duplicate key.
    """
    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ManifestError(
            f"got {error.problem or 'broken YAML'}, expected well-formed YAML", location=place
        ) from None


def locate(document: Any, path: Sequence[str | int], *, name: str) -> str:
    """`file:line:column` of the field at `path`, or of its nearest ancestor that exists."""
    line, column = 0, 0
    node = document
    for key in path:
        if not isinstance(node, CommentedBase):
            break
        try:
            if isinstance(node, CommentedMap):
                line, column = node.lc.key(key)
            elif isinstance(node, CommentedSeq):
                line, column = node.lc.item(key)
            node = node[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
    return f"{name}:{line + 1}:{column + 1}"


def load_file(path: Path) -> Any:
    """`load` of a file's text. Raises ManifestError also where the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError("no such file", location=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot be read: {error}", location=str(path)) from None
    return load(text, name=str(path))
