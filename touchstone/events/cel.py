"""CEL as Tekton Triggers' `cel` interceptor speaks it, on top of cel-python.

What differs between cel-python and cel-go is evened out here, so that an expression means the
same embedded and on a cluster:

* JSON numbers are doubles in Tekton, whole ones too; cel-python would make them ints.
* cel-go compares values of different types (2.0 == 2 is true, "2" == 2 is false) and refuses to
  calculate with them (2.0 + 1 is an error); cel-python does the opposite.
* Tekton's own functions and cel-go's string extension do not exist in cel-python.
* cel-go refuses an unknown function when the expression is compiled, cel-python when it runs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError, base_functions
from lark import Tree

Value = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

_MACROS = {"has", "all", "exists", "exists_one", "map", "filter", "min", "reduce", "dyn"}


class CelError(Exception):
    """The expression cannot be compiled, or failed on this event."""


@lru_cache(maxsize=256)
def compile_expression(source: str) -> celpy.Runner:
    """Check the expression and make it ready to evaluate.

    Raises:
        CelError: it is not CEL, or calls a function that Tekton's CEL does not have.
    """
    environment = celpy.Environment()
    try:
        tree = environment.compile(source)
    except CELParseError as error:
        raise CelError(f"got {source!r}, expected a CEL expression: {error}") from None
    known = set(base_functions) | set(_FUNCTIONS) | _MACROS
    for name in _called(tree):
        if name not in known:
            raise CelError(f"got the function {name!r} in {source!r}, which CEL does not have here")
    return environment.program(tree, functions=_FUNCTIONS)


def evaluate(source: str, context: Mapping[str, Value]) -> Value:
    """The expression's value as JSON; `context` maps variable names to JSON values.

    Raises:
        CelError: the expression is wrong, or fails on this context (an absent field, for example).
    """
    runner = compile_expression(source)
    try:
        result = runner.evaluate({name: _to_cel(value) for name, value in context.items()})
    except CELEvalError as error:
        reason = error.args[0] if error.args else error
        raise CelError(f"{source!r} failed: {reason}") from None
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise CelError(f"{source!r} failed: {error}") from None
    return _to_json(result, source)


def _called(tree: Tree[Any]) -> set[str]:
    """Names of the functions and methods that the expression calls."""
    names = set()
    for node in tree.iter_subtrees():
        if node.data == "member_dot_arg":
            names.add(str(node.children[1]))
        elif node.data in ("ident_arg", "dot_ident_arg"):
            names.add(str(node.children[0]))
    return names


def _to_cel(value: Value) -> Any:
    if isinstance(value, dict):
        return celtypes.MapType(
            {celtypes.StringType(key): _to_cel(item) for key, item in value.items()}
        )
    if isinstance(value, list):
        return celtypes.ListType([_to_cel(item) for item in value])
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int | float):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    return None


def _to_json(value: Any, source: str) -> Value:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, celtypes.IntType | celtypes.UintType):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [_to_json(item, source) for item in value]
    if isinstance(value, dict):
        return {str(key): _to_json(item, source) for key, item in value.items()}
    raise CelError(f"{source!r} gave a {type(value).__name__}, expected a value that JSON can hold")


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
    return _to_cel(document)


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
    return _to_cel(document)


def _marshal(value: Any) -> Any:
    return celtypes.StringType(
        json.dumps(_to_json(value, "marshalJSON"), sort_keys=True, separators=(",", ":"))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool | celtypes.BoolType)


def _same(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return float(one) == float(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, str) and isinstance(other, str):
        return str(one) == str(other)
    return type(one) is type(other) and bool(one == other)


def _relation(function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """An operator that gives on an operand's error, which `||` and `&&` may then absorb."""

    def apply(one: Any, other: Any) -> Any:
        for operand in (one, other):
            if isinstance(operand, CELEvalError):
                return operand
        return celtypes.BoolType(function(one, other))

    return apply


def _calculation(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(one: Any, other: Any) -> Any:
        if _is_number(one) and _is_number(other) and type(one) is not type(other):
            raise TypeError(f"cannot calculate with {one!r} and {other!r}, convert one of them")
        return function(one, other)

    return apply


def _contains(item: Any, container: Any) -> bool:
    if not isinstance(container, list | dict):
        raise TypeError(f"got a {type(container).__name__} after 'in', expected a list or a map")
    return any(_same(item, candidate) for candidate in container)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    # operators
    "_==_": _relation(_same),
    "_!=_": _relation(lambda one, other: not _same(one, other)),
    "_in_": _relation(_contains),
    **{name: _calculation(base_functions[name]) for name in ("_+_", "_-_", "_*_", "_/_")},
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
