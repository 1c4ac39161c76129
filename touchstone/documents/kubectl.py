"""How does kubectl read YAML? As YAML 1.1 the way Go's decoder has it, turned into JSON.

Facts from go.yaml.in/yaml/v2 (resolve.go, decode.go) and sigs.k8s.io/yaml, by which kubectl and
Tekton read: `on`, `y` and `no` are booleans, 0777 is octal, 1_000 a number, a time stamp a string,
and there are no numbers to the base of 60. Both that decoder and PyYAML's parser are libyaml.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from touchstone.documents import gojson
from touchstone.documents import yaml as documents
from touchstone.documents.yaml import Document, Limits
from touchstone.errors import ManifestError

_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, bool | None] = {
    form: value
    for value, words in {True: "y yes true on", False: "n no false off", None: "null"}.items()
    for word in words.split()
    for form in (word, word.capitalize(), word.upper())
} | {"": None, "~": None}
_NO_NUMBERS = {
    sign + form for form in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")
} | {".nan", ".NaN", ".NAN"}  # fmt: skip
_WHOLE = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class _Node:
    """A scalar, sequence, mapping or alias of the text, as libyaml's events give it."""

    event: Any
    children: list[_Node] = field(default_factory=list)
    """The items of a sequence; of a mapping key, value, key, value …; of an alias its target."""

    @property
    def place(self) -> tuple[int, int]:
        return self.event.start_mark.line, self.event.start_mark.column

    def followed(self) -> _Node:
        """The node itself, or the one that an alias stands for."""
        return self.children[0] if isinstance(self.event, yaml.AliasEvent) else self

    def pairs(self) -> Iterator[tuple[_Node, _Node]]:
        return zip(self.children[::2], self.children[1::2], strict=True)

    @property
    def merges(self) -> bool:
        """Whether this key is `<<`."""
        event = self.event
        return (
            isinstance(event, yaml.ScalarEvent)
            and event.value == "<<"
            and (event.implicit[0] or event.tag == f"{_TAG}merge")
        )


class _RefusedError(Exception):
    """What is wrong, and the node where it stands."""

    def __init__(self, problem: str, node: _Node) -> None:
        super().__init__(problem)
        self.node = node


def load_files(paths: Iterable[Path]) -> list[Document]:
    """Every document of the given files and folders. Raises ManifestError as `load_text`."""
    return documents.load_files(paths, read=load_text)


def load_text(text: str, source: str) -> list[Document]:
    """The documents in `text`, reported as standing in `source`; empty ones are left out.

    Raises ManifestError for broken YAML, a key given twice, or a document that is no mapping.
    """
    if text.lstrip().startswith("{"):  # JSON, which writes some characters in two halves
        text = _PAIR.sub(_whole_character, text)
    found = []
    try:
        trees = list(_trees(text))
        for tree in trees:
            body = _Reader(source).value(tree)
            if body is not None:
                found.append(Document(body, source, partial(_place, tree)))
    except _RefusedError as error:
        line, column = error.node.place
        raise _broken(str(error), f"{source}:{line + 1}:{column + 1}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise _broken(error.problem or error.context or "", at) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise _broken(" ".join(str(error).split()), source) from None
    for document in found:
        if not isinstance(document.body, dict):
            what = "a list" if isinstance(document.body, list) else repr(document.body)
            raise ManifestError(f"got {what} at the top, expected a mapping", location=source)
    return found


def is_text(text: str) -> bool:
    """Whether a scalar of this text needs no quotes to be a text."""
    try:
        return text != "<<" and isinstance(_resolved(text), str)
    except ValueError:
        return False


def _broken(problem: str, location: str) -> ManifestError:
    return ManifestError(
        f"got broken YAML: {problem}, expected YAML that kubectl reads", location=location
    )


def _whole_character(found: re.Match[str]) -> str:
    return bytes.fromhex(found[1] + found[2]).decode("utf-16-be")


def _trees(text: str) -> Iterator[_Node]:
    """The node at the top of each document."""
    events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
    anchors: dict[str, _Node] = {}
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
        elif isinstance(event, yaml.NodeEvent):
            yield _tree(event, events, anchors)


def _tree(first: Any, events: Iterator[Any], anchors: dict[str, _Node]) -> _Node:
    top = _Node(first)
    open_: list[_Node] = []
    event, node = first, top
    while True:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _RefusedError(f"unknown anchor {event.anchor!r}", node)
            node.children.append(anchors[event.anchor])
        elif isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
        elif event.anchor is not None:
            anchors[event.anchor] = node
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append(node)
        if not open_:
            return top
        event = next(events)
        if isinstance(event, yaml.NodeEvent):
            node = _Node(event)
            open_[-1].children.append(node)


class _Reader:
    """Reads one document's values, and counts them."""

    def __init__(self, source: str) -> None:
        self._limits = Limits(source)
        self._open: set[_Node] = set()

    def value(self, node: _Node, depth: int = 1) -> Any:
        """What JSON has for this node."""
        self._limits.count(depth)
        event = node.event
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(node)
            # JSON has one kind of number: 1.0 is written as 1.
            whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e21
            return int(gojson.dumps(value)) if whole else value
        target = node.followed()
        if target in self._open:
            raise _RefusedError("an anchor's value contains itself", node)
        if target is not node:
            return self.value(target, depth)
        self._open.add(node)
        try:
            if isinstance(event, yaml.SequenceStartEvent):
                return [self.value(item, depth + 1) for item in node.children]
            return self._mapping(node, depth)
        finally:
            self._open.remove(node)

    def _mapping(self, node: _Node, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        given: set[str] = set()
        for key, value in node.pairs():
            if key.merges:
                # Of keys given here and in what is merged, Go keeps the one that comes last.
                for one in _merged(value):
                    found |= self.value(one, depth + 1)
                continue
            name = _key(key)
            if name in given:
                raise _RefusedError(f"found duplicate key {name!r}", key)
            given.add(name)
            found[name] = self.value(value, depth + 1)
        return found


def _merged(value: _Node) -> list[_Node]:
    """The mappings that `<<` merges, the last one first: an earlier one wins."""
    target = value.followed()
    # A sequence to merge is written out; an alias stands for one mapping alone.
    many = target is value and isinstance(target.event, yaml.SequenceStartEvent)
    found = [item.followed() for item in reversed(value.children)] if many else [target]
    if not all(isinstance(one.event, yaml.MappingStartEvent) for one in found):
        raise _RefusedError("a merge (<<) of something else, expected mappings", value)
    return found


def _key(node: _Node) -> str:
    """A key as the string that JSON has for it."""
    scalar = node.followed()
    if not isinstance(scalar.event, yaml.ScalarEvent):
        raise _RefusedError(
            "invalid map key, which is a mapping or a list (is it a {{TEMPLATE}} without quotes?)",
            node,
        )
    value = _scalar(scalar)
    if value is None:
        raise _RefusedError("unsupported map key: null", node)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float) -> str:
    """A number as a key: the shortest that is the same in 32 bits, with an exponent from 1e6."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return ".inf" if value > 0 else "-.inf"
    (kept,) = struct.unpack("<f", packed)
    shortest = next(
        text
        for text in (f"{kept:.{digits}e}" for digits in range(9))
        if struct.pack("<f", float(text)) == packed
    )
    return f"{float(shortest):.9g}" if -4 <= int(shortest.partition("e")[2]) < 6 else shortest


def _scalar(node: _Node) -> Any:
    event = node.event
    tag, text = (event.tag or "").removeprefix(_TAG), event.value
    if not (tag or event.implicit[0]) or tag == "str":
        return text
    if tag == "binary":
        try:
            return base64.b64decode(text, validate=True).decode(errors="replace")
        except binascii.Error:
            raise _RefusedError("!!binary without base64", node) from None
    if tag not in ("", "bool", "int", "float", "null"):
        return text
    try:
        value = _resolved(text)
    except ValueError as error:
        raise _RefusedError(str(error), node) from None
    kinds: dict[str, tuple[type, ...]] = {
        "bool": (bool,), "int": (int,), "float": (int, float), "null": (type(None),),
    }  # fmt: skip
    if tag and type(value) not in kinds[tag]:
        raise _RefusedError(f"cannot decode {text!r} as {tag}", node)
    return value


def _resolved(text: str) -> Any:
    """What a scalar without quotes is. Raises ValueError for what JSON cannot hold."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _NO_NUMBERS:
        raise ValueError(f"{text}, which JSON has no number for; put it in quotes")
    plain = text.replace("_", "")
    if text[0] not in "+-.0123456789":
        return text
    if _WHOLE.fullmatch(plain):
        number = _integer(plain)
        if -(2**63) <= number < 2**63 or (plain[0].isdigit() and number < 2**64):
            return number
    if _DECIMAL.fullmatch(plain) and abs(value := float(plain)) != float("inf"):
        return value
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    octal = re.fullmatch(r"0[0-7]+", digits)
    whole = int(digits, 8) if octal else int(digits, 0) if len(digits) < 80 else 2**64
    return -whole if text.startswith("-") else whole


def _place(top: _Node, path: Sequence[str | int]) -> tuple[int, int]:
    """Line and column, from 0, of the field at `path`, or of the nearest thing above it."""
    node, place = top, top.place
    for part in path:
        node = node.followed()
        found = _within(node, part)
        if found is None:
            break
        place, node = found
    return place


def _within(node: _Node, part: str | int) -> tuple[tuple[int, int], _Node] | None:
    if isinstance(part, int):
        if isinstance(node.event, yaml.SequenceStartEvent) and part < len(node.children):
            return node.children[part].place, node.children[part]
        return None
    if not isinstance(node.event, yaml.MappingStartEvent):
        return None
    for key, value in reversed(list(node.pairs())):
        if key.merges:
            inside = [_within(one, part) for one in reversed(_merged(value))]
            if (found := next(filter(None, inside), None)) is not None:
                return found
        elif _key(key) == part:
            return key.place, value
    return None
