"""CEL as Tekton Triggers' `cel` interceptor speaks it: its own functions, cel-go's strings."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import celpy
from celpy import celtypes

from touchstone.cel import CelError, Dialect, Value, to_cel, to_json

__all__ = ["CelError", "canonical_header", "compile_expression", "evaluate"]


def compile_expression(source: str) -> celpy.Runner:
    """Check the expression and make it ready to evaluate.

    Raises:
        CelError: it is not CEL, or calls a function that Tekton's CEL does not have.
    """
    return _DIALECT.compile(source)


def evaluate(source: str, context: Mapping[str, Value]) -> Value:
    """The expression's value as JSON; `context` maps variable names to JSON values.

    Raises:
        CelError: the expression is wrong, or fails on this context (an absent field, for example).
    """
    return _DIALECT.evaluate(source, context)


def canonical_header(name: str) -> str:
    """A header's name as Go writes it: `x-github-event` becomes `X-Github-Event`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _header(headers: Any, name: Any) -> str:
    key = celtypes.StringType(canonical_header(_text(name)))
    return str(headers[key][0]) if key in headers else ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got a {type(value).__name__}, expected a string")
    return str(value)


def _replace(text: Any, old: Any, new: Any, limit: Any = -1) -> Any:
    return celtypes.StringType(_text(text).replace(_text(old), _text(new), int(limit)))


def _split(text: Any, separator: Any, limit: Any = -1) -> Any:
    if int(limit) == 0:
        return celtypes.ListType([])
    if not separator:  # Go splits into characters there; Python refuses an empty separator
        parts: list[str] = list(_text(text))
    else:
        most = int(limit) - 1 if int(limit) > 0 else -1
        parts = _text(text).split(_text(separator), most)
    return celtypes.ListType([celtypes.StringType(part) for part in parts])


def _substring(text: Any, start: Any, end: Any = None) -> Any:
    source = _text(text)
    stop = len(source) if end is None else int(end)
    if not 0 <= int(start) <= stop <= len(source):
        raise ValueError(f"got the range {start}..{stop} of a string of {len(source)} characters")
    return celtypes.StringType(source[int(start) : stop])


def _truncate(text: Any, length: Any) -> Any:
    if int(length) < 0:
        raise ValueError(f"got the length {length}, expected 0 or more")
    return celtypes.StringType(_text(text)[: int(length)])


def _ascii(text: Any, change: Callable[[str], str]) -> Any:
    return celtypes.StringType(
        "".join(change(letter) if letter.isascii() else letter for letter in _text(text))
    )


def _join(items: Any, separator: Any = "") -> Any:
    return celtypes.StringType(_text(separator).join(_text(item) for item in items))


def _parse_json(text: Any) -> Any:
    document = json.loads(_text(text))
    if not isinstance(document, dict):
        raise ValueError("got other JSON than an object in parseJSON")
    return to_cel(document)


def _parse_url(text: Any) -> Any:
    parts = urlsplit(_text(text))
    queries = parse_qs(parts.query, keep_blank_values=True)
    document: dict[str, Value] = {
        "scheme": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "path": parts.path,
        "rawQuery": parts.query,
        "fragment": parts.fragment,
        "queryStrings": queries,
        "query": {name: ",".join(values) for name, values in queries.items()},
    }
    if parts.username is not None:
        document["auth"] = {"username": parts.username, "password": parts.password or ""}
    return to_cel(document)


def _marshal(value: Any) -> Any:
    return celtypes.StringType(
        json.dumps(to_json(value, "marshalJSON"), sort_keys=True, separators=(",", ":"))
    )


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    # Tekton's
    "match": lambda headers, name, value: celtypes.BoolType(_header(headers, name) == _text(value)),
    "canonical": lambda headers, name: celtypes.StringType(_header(headers, name)),
    "truncate": _truncate,
    "parseJSON": _parse_json,
    "parseURL": _parse_url,
    "marshalJSON": _marshal,
    # cel-go's string extension
    "split": _split,
    "join": _join,
    "replace": _replace,
    "substring": _substring,
    "trim": lambda text: celtypes.StringType(_text(text).strip()),
    "lowerAscii": lambda text: _ascii(text, str.lower),
    "upperAscii": lambda text: _ascii(text, str.upper),
    "indexOf": lambda text, part: celtypes.IntType(_text(text).find(_text(part))),
    "lastIndexOf": lambda text, part: celtypes.IntType(_text(text).rfind(_text(part))),
    "charAt": lambda text, index: _substring(text, index, min(int(index) + 1, len(text))),
    "decodeb64": lambda text: celtypes.BytesType(base64.b64decode(_text(text), validate=True)),
}

_DIALECT = Dialect(_FUNCTIONS)
