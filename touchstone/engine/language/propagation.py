"""Which workspaces of a pipeline come into an embedded Task that does not ask for them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from touchstone.engine.language.substitute import Scope, references

_SEARCHED = ("script", "command", "args", "workingDir")
"""Fields of a container in which Tekton looks for workspaces, besides the values of its env."""


def used_workspaces(spec: Mapping[str, Any], scope: Scope) -> list[str]:
    """The workspaces that the steps, sidecars or stepTemplate of a Task refer to, each once.

    `scope` is what is replaced before Tekton looks.
    """
    found: dict[str, None] = {}
    for text in _texts(spec):
        if "$(" in text:
            for key in references(scope.text(text)):
                if key[0] == "workspaces" and len(key) > 1:
                    found[key[1]] = None
    return list(found)


def _texts(spec: Mapping[str, Any]) -> Iterator[str]:
    steps, sidecars = spec.get("steps", []), spec.get("sidecars", [])
    for container in (*steps, *sidecars, spec.get("stepTemplate", {})):
        given = [item["value"] for item in container.get("params", [])]
        named = [item.get("value", "") for item in container.get("env", [])]
        yield from _strings([*(container.get(name, "") for name in _SEARCHED), *given, *named])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)
