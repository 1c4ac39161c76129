"""CEL as cel-go speaks it, by Google's C++ implementation: what is ours is JSON in and JSON out.

JSON numbers given as variables are doubles, whole ones too, as Go decodes them.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

Value = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

OBJECT = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
"""The type of a variable that holds a JSON object."""

_SHOWN = 80
"""Characters of an expression that a message about its size shows."""

_LARGEST_WHOLE = 1e21
"""From here on Go writes a double with an exponent."""

_DEEP = re.compile(r"recursion|codepoint limit")
_REASON = re.compile(
    r"ERROR: <input>:[-\d]+:[-\d]+: (.*?)(?: expecting \{.*| \(in container ''\))?$", re.M
)
_CODE = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


class CelError(Exception):
    """The expression cannot be compiled, or failed on this context."""


class Dialect:
    """CEL's standard library together with the variables and functions that a caller declares."""

    def __init__(
        self,
        variables: Mapping[str, cel.Type] | None = None,
        functions: Sequence[cel.FunctionDecl] = (),
        extensions: Sequence[cel.CelExtensionBase] = (),
    ) -> None:
        self._environment = cel.NewEnv(
            variables=dict(variables or {}), functions=list(functions), extensions=list(extensions)
        )
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def compile(self, source: str) -> cel.Expression:
        """Check the expression, types included, and make it ready to evaluate.

        Raises:
            CelError: it is not CEL, names a variable or calls a function that this dialect does
                not have, or can never fit its types.
        """
        return self._compiled(source)

    def _compile(self, source: str) -> cel.Expression:
        try:
            return self._environment.compile(source)
        except (RuntimeError, ValueError) as error:
            raise CelError(_refused(source, str(error))) from None

    def evaluate(self, source: str, context: Mapping[str, Value] | None = None) -> Value:
        """The expression's value as JSON; otherwise as `value`."""
        return to_json(self.value(source, context), source)

    def value(self, source: str, context: Mapping[str, Value] | None = None) -> Any:
        """The expression's value in Python; `context` maps variable names to JSON values.

        Raises:
            CelError: the expression is wrong, or fails on this context (an absent field, for
                example).
        """
        expression = self.compile(source)
        try:
            data = {name: to_cel(value) for name, value in (context or {}).items()}
            result = expression.eval(data=data)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise CelError(f"{_short(source)} failed: {_said(str(error))}") from None
        value = result.plain_value()
        if result.type() == cel.Type.ERROR:
            raise CelError(f"{_short(source)} failed: {_said(str(value))}")
        return value


def _refused(source: str, message: str) -> str:
    if _DEEP.search(message):
        return f"got {_short(source)}, which is nested too deeply"
    reason = "; ".join(_REASON.findall(message)) or _said(message)
    return f"got {_short(source)}, expected a CEL expression: {reason}"


def _said(message: str) -> str:
    return _CODE.sub("", message.partition("\n")[0])


def _short(source: str) -> str:
    return repr(source if len(source) <= _SHOWN else f"{source[:_SHOWN]}…")


def to_cel(value: Value) -> Any:
    """A JSON value as CEL takes it: numbers become doubles.

    Raises:
        ValueError: a text holds NUL or half of a surrogate pair.
        OverflowError: a number is beyond what a double can hold.
    """
    if isinstance(value, dict):
        return {_text(key): to_cel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_cel(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        return _text(value)
    return value


def _text(value: str) -> str:
    # The C++ side would read "main" where the event says "main", NUL and more.
    if "\0" in value or not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"got {_short(value)}, expected text without NUL and lone surrogates")
    return value


def to_json(value: Any, source: str) -> Value:
    """CEL's value as JSON: bytes as base64 text, a whole double as an integer.

    Raises:
        CelError: JSON cannot hold it; the message names `source`.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        whole = value.is_integer() and abs(value) < _LARGEST_WHOLE
        return int(value) if whole else value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list):
        return [to_json(item, source) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_json(item, source) for key, item in value.items()}
    shown = value if isinstance(value, float) else f"a {type(value).__name__}"
    raise CelError(f"{_short(source)} gave {shown}, expected a value that JSON can hold")
