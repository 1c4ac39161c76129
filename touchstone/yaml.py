"""YAML with places: load a document and tell where each of its fields stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from touchstone.errors import ManifestError

_MOST_NODES = 200_000
_DEEPEST = 100
"""Kubernetes takes objects of 1.5 MB; more than this only aliases of aliases can make of them."""


def load(text: str, *, name: str) -> Any:
    """The single document of `text`, its mappings and lists knowing where they stand.

    Raises:
        ManifestError: as `load_all`, or there is more than one document.
    """
    found = load_all(text, name=name)
    if len(found) > 1:
        raise ManifestError(f"got {len(found)} YAML documents, expected one", location=name)
    return found[0] if found else None


def load_all(text: str, *, name: str) -> list[Any]:
    """Every document of `text`, empty ones as None; mappings and lists know where they stand.

    Raises:
        ManifestError: the text is no YAML, holds a duplicate key, or grows beyond all measure.
    """
    try:
        found = list(YAML(typ="rt", pure=True).load_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = error.problem or error.context or "what no YAML parser reads"
        raise ManifestError(
            f"got broken YAML: {problem}; expected well-formed YAML", location=place
        ) from None
    except Exception as error:  # of a value no type can hold ruamel says what int() or so raised
        raise ManifestError(
            f"got broken YAML: {error or type(error).__name__}; expected well-formed YAML",
            location=name,
        ) from None
    _measure(found, name)
    return found


def _measure(documents: list[Any], name: str) -> None:
    """Refuse an alias within its own anchor, and aliases that unfold to a great many nodes."""
    waiting, seen = [(item, 1) for item in documents], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > _MOST_NODES or depth > _DEEPEST:
            raise ManifestError(
                f"got more than {_MOST_NODES} values or {_DEEPEST} levels, expected fewer",
                location=name,
                hint="does an alias (*x) stand within its own anchor (&x)?",
            )
        if isinstance(node, Mapping | list | set):
            inner = [*node, *node.values()] if isinstance(node, Mapping) else node
            waiting += [(item, depth + 1) for item in inner]


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
