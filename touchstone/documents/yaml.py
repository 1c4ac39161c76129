"""YAML with places: the documents of a file, and where each of their fields stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from touchstone import beneath
from touchstone.beneath import NotPlainError
from touchstone.errors import ManifestError
from trust_gates.visible import characters

FieldPath = tuple[str | int, ...]
"""Keys and indices from the top of a document down to a field."""

Place = Callable[[Sequence[str | int]], tuple[int, int]]
"""Line and column, from 0, of the field at a path, or of the nearest thing above it."""

_MOST_NODES = 200_000
_DEEPEST = 100
"""Kubernetes takes objects of 1.5 MB; more than this only aliases of aliases can make of them."""

_LONGEST = 1_500_000


@dataclass(frozen=True)
class Document:
    """One YAML document as plain JSON values, with the positions its file gave it."""

    body: Mapping[str, Any]
    source: str
    """File name, or the run's name for a document that came from no file."""

    place: Place | None = None
    """Where a field stands; None where there is no file to point into."""

    text: str = ""
    """As it was typed, where it is the only document of its source."""

    @cached_property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @cached_property
    def name(self) -> str:
        metadata = self.body.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""

    def location(self, path: Sequence[str | int] = ()) -> str:
        """`file:line:column` of the field at `path`, or of the nearest thing above it."""
        if self.place is None:
            return self.source
        line, column = self.place(path)
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


def load_files(
    paths: Iterable[Path], *, read: Callable[[str, str], list[Document]] | None = None
) -> list[Document]:
    """Every document of the given YAML files; a folder stands for all YAML files below it.

    Args:
        paths: files and folders.
        read: reads a text as standing in a source; `load_text` where none is given.

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
            documents.extend((read or load_text)(_read(file), str(file)))
    return documents


def load_text(text: str, source: str) -> list[Document]:
    """The documents in `text`, reported as standing in `source`; empty ones are left out.

    Raises ManifestError for broken YAML, a key given twice, or a document that is no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import MarkedYAMLError

    try:
        trees = list(YAML(typ="rt").load_all(text))
    except Exception as error:  # of a value no type can hold ruamel passes on what int() says
        mark = problem = None
        if isinstance(error, MarkedYAMLError):
            mark, problem = error.problem_mark or error.context_mark, error.problem
        raise ManifestError(
            f"got broken YAML: {problem or error or type(error).__name__}, expected well-formed"
            " YAML",
            location=f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source,
        ) from None
    _measure(trees, source)
    for tree in trees:
        if tree is not None and not isinstance(tree, CommentedMap):
            what = "a list" if isinstance(tree, list) else repr(tree)
            raise ManifestError(f"got {what} at the top, expected a mapping", location=source)
    alone = text if len(trees) == 1 else ""
    try:
        return [
            Document(body=plain(tree), source=source, place=partial(_place, tree), text=alone)
            for tree in trees
            if tree is not None
        ]
    except UnicodeError:
        raise ManifestError(
            "got half of a character (\\ud800 to \\udfff), expected whole ones", location=source
        ) from None


def _place(tree: Any, path: Sequence[str | int]) -> tuple[int, int]:
    """Line and column in ruamel's tree of a document."""
    node: Any = tree
    line, column = node.lc.line, node.lc.col
    for part in path:
        try:
            lines = node.lc
            line, column = (lines.key if isinstance(node, Mapping) else lines.item)(part)
            node = node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line, column


class Limits:
    """Refuses an alias within its own anchor, and aliases of aliases without end."""

    def __init__(self, source: str) -> None:
        self._source, self._seen = source, 0

    def count(self, depth: int) -> None:
        """Count one more value at that depth. Raises ManifestError for one too many."""
        self._seen += 1
        if self._seen > _MOST_NODES or depth > _DEEPEST:
            raise ManifestError(
                f"got more than {_MOST_NODES} values or {_DEEPEST} levels, expected fewer",
                location=self._source,
                hint="does an alias (*x) stand within its own anchor (&x)?",
            )


def _measure(trees: list[Any], source: str) -> None:
    waiting, limits = [(tree, 1) for tree in trees], Limits(source)
    while waiting:
        node, depth = waiting.pop()
        limits.count(depth)
        if isinstance(node, Mapping):
            waiting += [(item, depth + 1) for pair in node.items() for item in pair]
        elif isinstance(node, list | tuple | set):
            waiting += [(item, depth + 1) for item in node]


def load_one(text: str, source: str) -> Document | None:
    """The one document of `text`; None where it holds none. Raises ManifestError as `load_text`."""
    documents = load_text(text, source)
    if len(documents) > 1:
        raise ManifestError(
            f"got {len(documents)} documents, expected one", location=documents[1].location()
        )
    return documents[0] if documents else None


def load_file(path: Path) -> Document | None:
    """`load_one` of a file's text."""
    return load_one(_read(path), str(path))


def load_beneath(folder: Path, name: str, *, shown: str = "") -> Document | None:
    """`load_one` of a file in a folder that others fill: read through no link, and not for ever.

    Args:
        shown: what places call the file, where that is not its path.

    Raises ManifestError as `load_file`, and for anything but a regular file, unread.
    """
    file = Path(shown) if shown else folder / name
    try:
        data = beneath.read(folder, name, limit=_LONGEST)
    except FileNotFoundError:
        raise _absent(file) from None
    except NotPlainError as error:
        raise ManifestError(error.problem, location=str(file)) from None
    if len(data) > _LONGEST:
        raise ManifestError(
            f"got more than {_LONGEST} bytes, expected at most these", location=str(file)
        )
    try:
        return load_one(data.decode("utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise ManifestError(f"cannot be read: {error}", location=str(file)) from None


def plain(value: Any) -> Any:
    """The same value in nothing but dict, list, str, int, float, bool and None.

    Raises UnicodeError for half of a character.
    """
    if isinstance(value, Mapping):
        return {characters(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return characters(str(value))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _absent(file) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot be read: {error}", location=str(file)) from None


def _absent(file: Path) -> ManifestError:
    return ManifestError("no such file", location=str(file), hint="check the path given")
