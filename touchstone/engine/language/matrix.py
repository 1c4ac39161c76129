"""Into which combinations of params does a matrix fan a pipeline task out?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from touchstone.engine.language.substitute import Scope
from touchstone.engine.language.values import as_value, type_of

MAX_COMBINATIONS = 256
"""Runs one matrix may fan out into, as in Tekton by default."""

Combination = dict[str, str]


class MatrixError(Exception):
    """A param of a matrix has another type than the matrix can use; the message is Tekton's."""


def has_empty_array(matrix: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a param to fan out over has no value at all."""
    return any(scope.apply(as_value(item["value"])) == [] for item in matrix.get("params", []))


def fan_out(matrix: Mapping[str, Any], scope: Scope, *, task: str) -> list[Combination]:
    """The params of each run, in Tekton's order, each combination sorted by name.

    Raises MatrixError for a param that is no array, and for an included one that is no string.
    """
    included = [
        _included(item.get("params", []), scope, task) for item in matrix.get("include", [])
    ]
    params = matrix.get("params", [])
    if included and not params:
        return [_sorted(item) for item in included]
    combinations: list[Combination] = [{}]
    for item in params:
        values = scope.apply(as_value(item["value"]))
        if not isinstance(values, list):
            raise MatrixError(_wrong("array", item["name"], values, task))
        # The first param varies fastest.
        combinations = [
            {**combination, item["name"]: value} for value in values for combination in combinations
        ]
    for combination in combinations:
        for extra in included:
            if all(combination.get(name, value) == value for name, value in extra.items()):
                combination.update(extra)
    for extra in included:
        if extra and not any(_shares(combination, extra) for combination in combinations):
            combinations.append(extra)
    return [_sorted(combination) for combination in combinations]


def count(matrix: Mapping[str, Any]) -> int:
    """How many runs Tekton counts before any of them is made: the value of `matrix.length`.

    An array that is known only later counts as one, an included combination for each value that
    is new.
    """
    values = {item.get("name"): item.get("value") for item in matrix.get("params") or []}
    included = matrix.get("include") or []
    if not values:
        return len(included)
    lists = {name: value for name, value in values.items() if isinstance(value, list) and value}
    added = sum(_adds(item.get("params") or [], {**values, **lists}) for item in included)
    return prod(len(value) for value in lists.values()) + added


def _adds(params: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> int:
    added = 0
    for item in params:
        if item.get("name") in values:
            known = values[item["name"]]
            if isinstance(known, list) and item.get("value") in known:
                break
            added += 1
    return added


def display_name(
    matrix: Mapping[str, Any], params: Mapping[str, Any], scope: Scope, strings: Scope
) -> str:
    """The names of the included combinations that a run with these params belongs to.

    `scope` is what the matrix may refer to, `strings` what the names may.
    """
    names = []
    for item in matrix.get("include", []):
        wanted = {p["name"]: scope.apply(as_value(p["value"])) for p in item.get("params", [])}
        if item.get("name") and all(params.get(name) == value for name, value in wanted.items()):
            names.append(strings.text(item["name"]))
    return " ".join(names)


def _included(params: Sequence[Mapping[str, Any]], scope: Scope, task: str) -> Combination:
    found: Combination = {}
    for item in params:
        value = scope.apply(as_value(item["value"]))
        if not isinstance(value, str):
            raise MatrixError(_wrong("string", item["name"], value, task))
        found[item["name"]] = value
    return found


def _shares(combination: Combination, extra: Combination) -> bool:
    return any(combination.get(name) == value for name, value in extra.items())


def _sorted(combination: Combination) -> Combination:
    return dict(sorted(combination.items()))


def _wrong(expected: str, name: str, value: Any, task: str) -> str:
    return (
        f'parameters of type {expected} only are allowed, but param "{name}" has type'
        f' "{type_of(value)}" in pipelineTask "{task}"'
    )
