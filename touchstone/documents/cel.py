"""CEL as cel-go speaks it, on top of cel-python.

What differs between cel-python and cel-go is evened out here, so that an expression means the
same embedded and on a cluster:

* JSON numbers given as variables are doubles, whole ones too; cel-python would make them ints.
* cel-go compares values of different types (2.0 == 2 is true, "2" == 2 is false) and refuses to
  calculate with them (2.0 + 1 is an error); cel-python does the opposite.
* cel-go refuses an unknown function when the expression is compiled, cel-python when it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError, base_functions
from lark import Tree

Value = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""

_MACROS = {"has", "all", "exists", "exists_one", "map", "filter", "min", "reduce", "dyn"}

_TYPES = {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}


_SHOWN = 80
"""Characters of an expression that a message about its size shows."""


class CelError(Exception):
    """The expression cannot be compiled, or failed on this context."""


class Dialect:
    """CEL's standard library together with the functions a caller adds.

    `functions` maps names to callables that take and return cel-python's values; a method's
    receiver is the first argument.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self.functions = {**_OPERATORS, **(functions or {})}
        """All functions and operators by cel-python's names (`_==_`, `size`, …)."""
        self._known = set(base_functions) | set(self.functions) | _MACROS
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def compile(self, source: str) -> celpy.Runner:
        """Check the expression and make it ready to evaluate.

        Raises:
            CelError: it is not CEL, or calls a function that this dialect does not have.
        """
        return self._compiled(source)

    def variables(self, source: str) -> set[str]:
        """The names that the expression takes from its context. Raises CelError if it is no CEL."""
        tree = _parsed(celpy.Environment(), source)
        bound = set()
        for call in tree.iter_subtrees():
            if call.data == "member_dot_arg" and call.children[1] in _MACROS:
                bound.update(_named(call.children[2].children[0]))
        return _named(tree) - bound - _TYPES

    def _compile(self, source: str) -> celpy.Runner:
        environment = celpy.Environment()
        tree = _parsed(environment, source)
        for name in _called(tree):
            if name not in self._known:
                raise CelError(
                    f"got the function {name!r} in {source!r}, which CEL does not have here"
                )
        return environment.program(tree, functions=self.functions)

    def evaluate(self, source: str, context: Mapping[str, Value]) -> Value:
        """The expression's value as JSON; `context` maps variable names to JSON values.

        Raises:
            CelError: the expression is wrong, or fails on this context (an absent field, for
                example).
        """
        runner = self.compile(source)
        try:
            result = runner.evaluate({name: to_cel(value) for name, value in context.items()})
        except CELEvalError as error:
            reason = error.args[0] if error.args else error
            raise CelError(f"{source!r} failed: {reason}") from None
        except RecursionError:
            raise CelError(f"{_short(source)} failed: it is nested too deeply") from None
        except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            raise CelError(f"{source!r} failed: {error}") from None
        return to_json(result, source)


def _parsed(environment: celpy.Environment, source: str) -> Tree[Any]:
    try:
        return environment.compile(source)
    except CELParseError as error:
        raise CelError(f"got {source!r}, expected a CEL expression: {error}") from None
    except RecursionError:
        raise CelError(f"got {_short(source)}, which is nested too deeply") from None


def _named(tree: Tree[Any]) -> set[str]:
    """Names that stand alone, as those of variables, types and loop variables do."""
    return {str(node.children[0]) for node in tree.find_data("ident")}


def _short(source: str) -> str:
    return repr(source if len(source) <= _SHOWN else f"{source[:_SHOWN]}…")


def _called(tree: Tree[Any]) -> set[str]:
    """Names of the functions and methods that the expression calls."""
    names = set()
    for node in tree.iter_subtrees():
        if node.data == "member_dot_arg":
            names.add(str(node.children[1]))
        elif node.data in ("ident_arg", "dot_ident_arg"):
            names.add(str(node.children[0]))
    return names


def to_cel(value: Value) -> Any:
    """A JSON value as cel-python holds it; numbers become doubles."""
    if isinstance(value, dict):
        return celtypes.MapType(
            {celtypes.StringType(key): to_cel(item) for key, item in value.items()}
        )
    if isinstance(value, list):
        return celtypes.ListType([to_cel(item) for item in value])
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int | float):
        return celtypes.DoubleType(value)
    if isinstance(value, str):
        return celtypes.StringType(value)
    return None


def to_json(value: Any, source: str) -> Value:
    """cel-python's value as JSON. Raises CelError, naming `source`, for what JSON cannot hold."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, celtypes.IntType | celtypes.UintType):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [to_json(item, source) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item, source) for key, item in value.items()}
    shown = value if isinstance(value, float) else f"a {type(value).__name__}"
    raise CelError(f"{source!r} gave {shown}, expected a value that JSON can hold")


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


_OPERATORS: dict[str, Callable[..., Any]] = {
    "_==_": _relation(_same),
    "_!=_": _relation(lambda one, other: not _same(one, other)),
    "_in_": _relation(_contains),
    **{name: _calculation(base_functions[name]) for name in ("_+_", "_-_", "_*_", "_/_")},
}
