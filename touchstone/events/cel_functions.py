"""CEL as Tekton Triggers' `cel` interceptor speaks it: Tekton's functions, and cel-go's extensions
for strings, lists, sets, base64 and numbers.

Not here, and refused when the expression is compiled: `sortBy`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cel_expr_python import cel
from cel_expr_python.ext import ext_encoders, ext_math, ext_strings

from touchstone.documents.cel import OBJECT, CelError, Dialect, Value, to_cel, to_json
from touchstone.errors import ManifestError
from touchstone.events.bindings import as_go_writes_json
from touchstone.events.headers import canonical

__all__ = ["CelError", "compile_expression", "evaluate", "overlay"]

Secrets = Callable[[str, str], bytes]

_SECRETS: ContextVar[Secrets | None] = ContextVar("secrets", default=None)
_WITHOUT_REVERSE = 2
"""Version of the extension for strings: the next one has a reverse that lists cannot join."""

_LONGEST_RANGE = 100_000
"""Items of lists.range: an event must not choose how much memory the listener takes."""


def compile_expression(source: str) -> cel.Expression:
    """Check the expression and make it ready to evaluate.

    Raises:
        CelError: it is not CEL, calls a function that Tekton's CEL does not have, or can never
            fit its types.
    """
    return _DIALECT.compile(source)


def evaluate(source: str, context: Mapping[str, Value], *, secrets: Secrets | None = None) -> Value:
    """The expression's value as JSON; `context` maps variable names to JSON values.

    `secrets` gives compareSecret the value of (name, key).

    Raises:
        CelError: the expression is wrong, or fails on this context (an absent field, for example).
    """
    return to_json(_value(source, context, secrets), source)


def overlay(source: str, context: Mapping[str, Value], *, secrets: Secrets | None = None) -> Value:
    """The expression's value as Triggers lays it over the extensions.

    As there, bytes are taken for JSON text as they are, and null is no overlay.

    Raises:
        CelError: as `evaluate` does, and where the value cannot be laid over.
    """
    value = _value(source, context, secrets)
    if value is None:
        raise CelError(f"{source!r} gave null, expected a value: Triggers cannot overlay null")
    if isinstance(value, bytes | bytearray):
        try:
            return json.loads(value)
        except ValueError:
            raise CelError(
                f"{source!r} gave bytes that are no JSON; string(…) makes text"
            ) from None
    return to_json(value, source)


def _value(source: str, context: Mapping[str, Value], secrets: Secrets | None) -> Any:
    token = _SECRETS.set(secrets)
    try:
        return _DIALECT.value(source, context)
    finally:
        _SECRETS.reset(token)


def _header(headers: Mapping[str, list[str]], name: str) -> str:
    return headers.get(canonical(name), [""])[0]


def _truncate(text: str, length: int) -> str:
    """Go counts bytes; what is left of a cut character becomes U+FFFD, byte for byte."""
    if length < 0:
        raise ValueError(f"got the length {length}, expected 0 or more")
    kept = text.encode()[:length].decode("utf-8", "surrogateescape")
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in kept)


def _parse_json(text: str) -> Any:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("got other JSON than an object in parseJSON")
    return to_cel(document)


def _parse_url(text: str) -> Any:
    parts = urlsplit(text)
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


def _marshal(value: Any) -> str:
    text = as_go_writes_json(to_json(value, "marshalJSON"), sort=True)
    # Go's encoder keeps HTML out of JSON that may end up in a page.
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _parse_yaml(text: str) -> Any:
    from touchstone.documents.yaml import load_one

    try:
        document = load_one(text, "parseYAML")
    except ManifestError as error:
        raise ValueError(f"failed to decode in {error}") from None
    if document is None:
        raise ValueError("got other YAML than an object in parseYAML")
    return to_cel(document.body)


def _compare_secret(text: str, key: str, name: str, namespace: str = "") -> bool:
    """Constant time; Tekton reads the Secret in the trigger's namespace whatever is given."""
    secrets = _SECRETS.get()
    if secrets is None:
        raise ValueError("compareSecret has no secrets here")
    value = secrets(name, key)
    if not value:
        raise ValueError(f"failed to find secret {name}/{key} in compareSecret: it is empty")
    return hmac.compare_digest(text.encode("utf-8", "replace"), value)


def _translate(text: str, pattern: str, replacement: str) -> str:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(pattern, options)
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

        return str(variable.sub(group, replacement))

    return str(expression.sub(expand, text))


def _same(one: Any, other: Any) -> bool:
    """CEL's `==`: numbers compare across their types, a bool is no number."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _in(item: Any, items: list[Any]) -> bool:
    return any(_same(item, other) for other in items)


def _all_in(wanted: list[Any], items: list[Any]) -> bool:
    return all(_in(item, items) for item in wanted)


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not _in(item, kept):
            kept.append(item)
    return kept


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        flat += _flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item]
    return flat


def _range(size: int) -> list[int]:
    if size > _LONGEST_RANGE:
        raise ValueError(f"got a range of {size}, expected at most {_LONGEST_RANGE}")
    return list(range(size))


_T = cel.Type
_TEXT, _INT, _BOOL, _DYN, _LIST = _T.STRING, _T.INT, _T.BOOL, _T.DYN, _T.List(_T.DYN)


def _function(
    name: str, result: cel.Type, *overloads: tuple[list[cel.Type], Callable[..., Any]]
) -> cel.FunctionDecl:
    """A method of its first argument, or with a dot in its name a function."""
    method = "." not in name
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(
                f"{name}_{'_'.join(str(one.name()) for one in types)}", result, types, method, call
            )
            for types, call in overloads
        ],
    )


_FUNCTIONS = [
    # Tekton's
    _function("match", _BOOL, ([OBJECT, _TEXT, _TEXT], lambda h, name, v: _header(h, name) == v)),
    _function("canonical", _TEXT, ([OBJECT, _TEXT], _header)),
    _function("truncate", _TEXT, ([_TEXT, _INT], _truncate)),
    _function(
        "compareSecret",
        _BOOL,
        ([_TEXT] * 3, _compare_secret),
        ([_TEXT] * 4, _compare_secret),
    ),
    _function("parseJSON", OBJECT, ([_TEXT], _parse_json)),
    _function("parseYAML", OBJECT, ([_TEXT], _parse_yaml)),
    _function("parseURL", OBJECT, ([_TEXT], _parse_url)),
    _function("marshalJSON", _TEXT, ([OBJECT], _marshal), ([_LIST], _marshal)),
    _function("translate", _TEXT, ([_TEXT] * 3, _translate)),
    _function("first", _DYN, ([_LIST], lambda items: items[0] if items else None)),
    _function("last", _DYN, ([_LIST], lambda items: items[-1] if items else None)),
    _function("decodeb64", _T.BYTES, ([_TEXT], lambda text: base64.b64decode(text, validate=True))),
    # cel-go's lists and sets; its strings, numbers and base64 come with the C++ implementation
    _function("distinct", _LIST, ([_LIST], _distinct)),
    _function("flatten", _LIST, ([_LIST], _flatten), ([_LIST, _INT], _flatten)),
    cel.FunctionDecl(
        "reverse",
        [
            cel.Overload("reverse_list", _LIST, [_LIST], True, lambda items: items[::-1]),
            cel.Overload("reverse_text", _TEXT, [_TEXT], True, lambda text: text[::-1]),
        ],
    ),
    _function("slice", _LIST, ([_LIST, _INT, _INT], lambda items, start, end: items[start:end])),
    _function("sort", _LIST, ([_LIST], sorted)),
    _function("lists.range", _T.List(_INT), ([_INT], _range)),
    _function("sets.contains", _BOOL, ([_LIST, _LIST], lambda items, part: _all_in(part, items))),
    _function(
        "sets.equivalent",
        _BOOL,
        ([_LIST, _LIST], lambda one, other: _all_in(one, other) and _all_in(other, one)),
    ),
    _function(
        "sets.intersects",
        _BOOL,
        ([_LIST, _LIST], lambda one, other: any(_in(item, other) for item in one)),
    ),
]

_DIALECT = Dialect(
    {"body": OBJECT, "header": OBJECT, "requestURL": _TEXT, "extensions": OBJECT},
    _FUNCTIONS,
    [ext_strings.ExtStrings(_WITHOUT_REVERSE), ext_math.ExtMath(), ext_encoders.ExtEncoders()],
)
