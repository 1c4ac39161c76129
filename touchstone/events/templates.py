"""From a TriggerTemplate and its params to the objects it creates.

Params are put into the strings of the parsed template, never into its text: no value that an
event holds can add a field or a document.

A name made from `generateName` ends in a hash of the event instead of random letters, so that an
event processed again after a kill makes the same name again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PARAM = re.compile(r"\$\(tt\.params\.(?P<name>[A-Za-z0-9_.-]+)\)")
_SUFFIX_DIGITS = 10


def params_used(template: Any) -> set[str]:
    """Names of all params that the template's strings refer to."""
    if isinstance(template, str):
        return {match["name"] for match in _PARAM.finditer(template)}
    if isinstance(template, Mapping):
        return {name for pair in template.items() for value in pair for name in params_used(value)}
    if isinstance(template, list):
        return {name for value in template for name in params_used(value)}
    return set()


def render(
    templates: Sequence[Mapping[str, Any]], params: Mapping[str, str], *, seed: str
) -> list[dict[str, Any]]:
    """The objects with `$(tt.params.x)` and `$(uid)` replaced and `metadata.name` set.

    `seed` names the event and the trigger; equal seeds give equal uids and names.
    """
    uid = _digest(seed)[:5]
    objects = []
    for index, template in enumerate(templates):
        rendered: dict[str, Any] = _fill(template, params, uid)
        metadata = rendered.setdefault("metadata", {})
        if prefix := metadata.pop("generateName", ""):
            metadata.setdefault("name", prefix + _digest(f"{seed}/{index}")[:_SUFFIX_DIGITS])
        objects.append(rendered)
    return objects


def _fill(value: Any, params: Mapping[str, str], uid: str) -> Any:
    if isinstance(value, str):
        # One pass, so that a value which looks like a variable stays the text it is.
        return re.sub(
            rf"{_PARAM.pattern}|\$\(uid\)",
            lambda match: params.get(match["name"], match[0]) if match["name"] else uid,
            value,
        )
    if isinstance(value, Mapping):
        return {_fill(key, params, uid): _fill(item, params, uid) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, params, uid) for item in value]
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
