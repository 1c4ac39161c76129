"""CEL as Tekton Triggers' `cel` interceptor speaks it: its variables and functions, and cel-go's
libraries for strings, lists, sets, base64 and numbers.

A process of its own (touchstone.documents.cel_host): nothing imports this module.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cel_expr_python import cel

from touchstone.documents import gojson
from touchstone.documents.cel_host import environment, loads, plain, secret, serve
from touchstone.errors import ManifestError
from touchstone.events.headers import canonical

_HTML = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What Go's json.Marshal escapes further."""


def _canonical(headers: dict[str, Any], name: str) -> str:
    values = headers.get(canonical(name), [])
    if not isinstance(values, list):
        raise TypeError("got another map, expected header")
    return str(values[0]) if values else ""


def _match(headers: dict[str, Any], name: str, value: str) -> bool:
    return _canonical(headers, name) == value


def _truncate(text: str, length: int) -> str:
    """Counts bytes, as Go does: a cut within a letter leaves no text."""
    if length < 0:
        raise ValueError(f"got the length {length}, expected 0 or more")
    return text.encode()[:length].decode()


def _compare_secret(text: str, key: str, name: str, namespace: str = "") -> bool:
    """Constant time; Tekton reads the Secret in the trigger's namespace whatever is given."""
    value = secret(name, key)
    if not value:
        raise ValueError(f"failed to find secret {name}/{key} in compareSecret: it is empty")
    return hmac.compare_digest(text.encode(), value)


def _parse_json(text: str) -> Any:
    document = loads(text)
    if not isinstance(document, dict):
        raise ValueError("got other JSON than an object in parseJSON")
    return document


def _parse_yaml(text: str) -> Any:
    from touchstone.documents.yaml import load_one
    from touchstone.documents.yaml import plain as plain_yaml

    try:
        document = load_one(text, "parseYAML")
    except ManifestError as error:
        raise ValueError(f"failed to decode in {error}") from None
    if document is None:
        raise ValueError("got other YAML than an object in parseYAML")
    return loads(json.dumps(plain_yaml(document.body)))


def _parse_url(text: str) -> Any:
    parts = urlsplit(text)
    queries = parse_qs(parts.query, keep_blank_values=True)
    document: dict[str, Any] = {
        "scheme": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "path": unquote(parts.path),
        "rawQuery": parts.query,
        "fragment": parts.fragment,
        "queryStrings": queries,
        "query": {name: ",".join(values) for name, values in queries.items()},
    }
    if parts.username is not None:
        document["auth"] = {"username": parts.username, "password": parts.password or ""}
    return loads(json.dumps(document))


def _marshal_json(value: Any) -> str:
    return gojson.dumps(plain(value)).translate(_HTML)


def _translate(text: str, pattern: str, replacement: str) -> str:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"failed to parse regular expression for translation: {error}") from None

    def expand(match: Any) -> str:
        def group(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name is None:
                return "$"
            try:
                return match.group(int(name) if name.isdigit() else name) or ""
            except (IndexError, KeyError):
                return ""  # as Go's Expand

        return re.sub(r"\$(?:\{(\w+)\}|(\w+)|\$)", group, replacement, flags=re.ASCII)

    return str(expression.sub(expand, text))


def _decode(text: str) -> bytearray:
    return bytearray(base64.b64decode(text, validate=True))


def _end(index: int) -> Callable[[list[Any]], Any]:
    return lambda items: items[index] if items else None


def _whole(function: Callable[..., str]) -> Callable[..., str]:
    """Refuse a text that the binding would cut off."""

    def checked(*arguments: Any) -> str:
        if "\0" in (text := function(*arguments)):
            raise ValueError("got a NUL in a text, expected none")
        return text

    return checked


_TEXT, _TRUE, _INT, _ANY = cel.Type.STRING, cel.Type.BOOL, cel.Type.INT, cel.Type.DYN
_MAP = cel.Type.Map(_TEXT, _ANY)
_LIST = cel.Type.List(_ANY)

_FUNCTIONS: tuple[tuple[str, list[cel.Type], cel.Type, Callable[..., Any]], ...] = (
    ("match", [_MAP, _TEXT, _TEXT], _TRUE, _match),
    ("canonical", [_MAP, _TEXT], _TEXT, _whole(_canonical)),
    ("truncate", [_TEXT, _INT], _TEXT, _whole(_truncate)),
    ("compareSecret", [_TEXT, _TEXT, _TEXT], _TRUE, _compare_secret),
    ("compareSecret", [_TEXT, _TEXT, _TEXT, _TEXT], _TRUE, _compare_secret),
    ("parseJSON", [_TEXT], _MAP, _parse_json),
    ("parseYAML", [_TEXT], _MAP, _parse_yaml),
    ("parseURL", [_TEXT], _MAP, _parse_url),
    ("marshalJSON", [_MAP], _TEXT, _marshal_json),
    ("marshalJSON", [_LIST], _TEXT, _marshal_json),
    ("first", [_LIST], _ANY, _end(0)),
    ("last", [_LIST], _ANY, _end(-1)),
    ("translate", [_TEXT, _TEXT, _TEXT], _TEXT, _whole(_translate)),
    ("decodeb64", [_TEXT], cel.Type.BYTES, _decode),
)
"""Tekton's methods: name, receiver and arguments, what it gives."""


def _declared() -> list[cel.FunctionDecl]:
    overloads: dict[str, list[cel.Overload]] = {}
    for name, parameters, result, function in _FUNCTIONS:
        kinds = "_".join([name, *map(str, parameters)])
        overloads.setdefault(name, []).append(
            cel.Overload(kinds, result, parameters, is_member=True, impl=function)
        )
    return [cel.FunctionDecl(name, those) for name, those in overloads.items()]


if __name__ == "__main__":
    serve(
        environment(
            variables={"body": _MAP, "header": _MAP, "extensions": _MAP, "requestURL": _TEXT},
            libraries=("strings", "encoders", "sets", "lists", "math"),
            functions=_declared(),
        )
    )
