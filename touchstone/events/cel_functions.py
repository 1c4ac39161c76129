"""CEL as Tekton Triggers' `cel` interceptor speaks it: Tekton's functions, and cel-go's extensions
for strings, lists, sets, base64 and numbers.

Not here, and refused when the expression is compiled: `format`, `sortBy` and the bit functions.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs, urlsplit

import celpy
from celpy import celtypes

from touchstone.documents.cel import CelError, Dialect, Value, to_cel, to_json
from touchstone.errors import ManifestError
from touchstone.events.headers import canonical

__all__ = ["CelError", "compile_expression", "evaluate"]

Secrets = Callable[[str, str], bytes]

_SECRETS: ContextVar[Secrets | None] = ContextVar("secrets", default=None)
_LONGEST_RANGE = 100_000
"""Items of lists.range: an event must not choose how much memory the listener takes."""

_NAMESPACES = ("base64", "lists", "math", "sets")
# `base64.decode(x)` is a method call to cel-python: these variables are its receivers.
_RECEIVERS = {name: {"": name} for name in _NAMESPACES}


def compile_expression(source: str) -> celpy.Runner:
    """Check the expression and make it ready to evaluate.

    Raises:
        CelError: it is not CEL, or calls a function that Tekton's CEL does not have.
    """
    return _DIALECT.compile(source)


def evaluate(source: str, context: Mapping[str, Value], *, secrets: Secrets | None = None) -> Value:
    """The expression's value as JSON; `context` maps variable names to JSON values.

    `secrets` gives compareSecret the value of (name, key).

    Raises:
        CelError: the expression is wrong, or fails on this context (an absent field, for example).
    """
    token = _SECRETS.set(secrets)
    try:
        return _DIALECT.evaluate(source, {**_RECEIVERS, **context})
    finally:
        _SECRETS.reset(token)


def _header(headers: Any, name: Any) -> str:
    key = celtypes.StringType(canonical(_text(name)))
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


def _parse_yaml(text: Any) -> Any:
    from touchstone.documents.yaml import load_one

    try:
        document = load_one(_text(text), "parseYAML")
    except ManifestError as error:
        raise ValueError(f"failed to decode in {error}") from None
    if document is None:
        raise ValueError("got other YAML than an object in parseYAML")
    return to_cel(document.body)


def _compare_secret(text: Any, key: Any, name: Any, namespace: Any = "") -> Any:
    """Constant time; Tekton reads the Secret in the trigger's namespace whatever is given."""
    secrets = _SECRETS.get()
    if secrets is None:
        raise ValueError("compareSecret has no secrets here")
    value = secrets(_text(name), _text(key))
    if not value:
        raise ValueError(f"failed to find secret {name}/{key} in compareSecret: it is empty")
    given = _text(text).encode("utf-8", "replace")
    return celtypes.BoolType(hmac.compare_digest(given, value))


def _translate(text: Any, pattern: Any, replacement: Any) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(_text(pattern), options)
        variable = re2.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))", options)
    except re2.error as error:
        raise ValueError(f"failed to parse regular expression for translation: {error}") from None

    def expand(match: Any) -> str:
        def group(found: Any) -> str:
            if found.group(3):
                return "$"
            name = found.group(1) or found.group(2)
            try:
                return match.group(int(name) if name.isdigit() else name) or ""
            except (IndexError, KeyError):
                return ""  # as Go's Expand

        return str(variable.sub(group, _text(replacement)))

    return celtypes.StringType(expression.sub(expand, _text(text)))


def _end(items: Any, index: int) -> Any:
    if not isinstance(items, list):
        raise TypeError(f"got a {type(items).__name__}, expected a list")
    return items[index] if items else None


def _distinct(items: Any) -> Any:
    kept: list[Any] = []
    for item in items:
        if not any(bool(_EQUAL(item, other)) for other in kept):
            kept.append(item)
    return celtypes.ListType(kept)


def _flatten(items: Any, depth: Any = 1) -> Any:
    flat: list[Any] = []
    for item in items:
        nested = isinstance(item, list) and int(depth) > 0
        flat += _flatten(item, int(depth) - 1) if nested else [item]
    return celtypes.ListType(flat)


def _range(size: Any) -> Any:
    if int(size) > _LONGEST_RANGE:
        raise ValueError(f"got a range of {size}, expected at most {_LONGEST_RANGE}")
    return celtypes.ListType([celtypes.IntType(number) for number in range(int(size))])


def _reverse(value: Any) -> Any:
    if isinstance(value, list):
        return celtypes.ListType(value[::-1])
    return celtypes.StringType(_text(value)[::-1])


def _namespaced(receiver: Any, *allowed: str) -> bool:
    """Whether a call is `math.…` and not a method of an event's value."""
    return isinstance(receiver, celtypes.MapType) and receiver.get("") in allowed


def _in_namespace(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(receiver: Any, *arguments: Any) -> Any:
        if not _namespaced(receiver, name):
            raise TypeError(f"got a {type(receiver).__name__}, expected {name}.")
        return function(*arguments)

    return apply


def _contained(container: Any, wanted: Any, subset: Any = None) -> Any:
    """`text.contains(part)`, or `sets.contains(list, sublist)`."""
    if _namespaced(container, "sets"):
        return celtypes.BoolType(all(bool(_IN(item, wanted)) for item in subset))
    return celtypes.BoolType(_text(wanted) in _text(container))


def _equivalent(one: Any, other: Any) -> Any:
    forth = all(bool(_IN(item, other)) for item in one)
    return celtypes.BoolType(forth and all(bool(_IN(item, one)) for item in other))


def _intersects(one: Any, other: Any) -> Any:
    return celtypes.BoolType(any(bool(_IN(item, other)) for item in one))


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return choose(items)

    return apply


def _rounded(function: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda value: celtypes.DoubleType(function(float(value)))


_NAMED: dict[str, Callable[..., Any]] = {
    "decode": _in_namespace(
        "base64", lambda text: celtypes.BytesType(base64.b64decode(_text(text)))
    ),
    "encode": _in_namespace(
        "base64", lambda data: celtypes.StringType(base64.b64encode(bytes(data)).decode())
    ),
    "equivalent": _in_namespace("sets", _equivalent),
    "intersects": _in_namespace("sets", _intersects),
    "range": _in_namespace("lists", _range),
    "greatest": _in_namespace("math", _extreme(max)),
    "least": _in_namespace("math", _extreme(min)),
    "ceil": _in_namespace("math", _rounded(math.ceil)),
    "floor": _in_namespace("math", _rounded(math.floor)),
    "round": _in_namespace("math", _rounded(lambda x: math.copysign(math.floor(abs(x) + 0.5), x))),
    "trunc": _in_namespace("math", _rounded(math.trunc)),
    "abs": _in_namespace("math", lambda value: type(value)(abs(value))),
    "sign": _in_namespace("math", lambda value: type(value)((value > 0) - (value < 0))),
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_NAMED,
    # Tekton's
    "compareSecret": _compare_secret,
    "parseYAML": _parse_yaml,
    "translate": _translate,
    "first": lambda items: _end(items, 0),
    "last": lambda items: _end(items, -1),
    "match": lambda headers, name, value: celtypes.BoolType(_header(headers, name) == _text(value)),
    "canonical": lambda headers, name: celtypes.StringType(_header(headers, name)),
    "truncate": _truncate,
    "parseJSON": _parse_json,
    "parseURL": _parse_url,
    "marshalJSON": _marshal,
    # cel-go's lists and strings
    "contains": _contained,
    "distinct": _distinct,
    "flatten": _flatten,
    "reverse": _reverse,
    "slice": lambda items, start, end: celtypes.ListType(items[int(start) : int(end)]),
    "sort": lambda items: celtypes.ListType(sorted(items)),
    "quote": lambda text: celtypes.StringType(json.dumps(_text(text), ensure_ascii=False)),
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
_EQUAL = _DIALECT.functions["_==_"]
_IN = _DIALECT.functions["_in_"]
