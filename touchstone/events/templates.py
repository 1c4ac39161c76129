"""From a TriggerTemplate and its params to the objects it creates.

Tekton pastes values into the template's JSON text. Here each string of the template is written as
JSON, the values are pasted, and it is read again: what is then no longer one string (an object
with quotes in it, a value that would add a field) is refused, where Tekton would create nothing or
something else than the template shows. Other than Tekton, a value is never searched for variables.

A name made from `generateName` ends in a hash of the event instead of random letters, so that an
event processed again after a kill makes the same name again.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

_PARAM = re.compile(r"\$\(tt\.params\.(?P<name>[_a-zA-Z][_a-zA-Z0-9.-]*)\)")
_VARIABLE = re.compile(rf"{_PARAM.pattern}|\$\(uid\)")
_SUFFIX_DIGITS = 10
_LONGEST = 58
"""Characters of a generated name: an object's has 63, and a remedy's run appends its round."""
_NAMESPACE = uuid.UUID("1c9d7f0a-8e0c-5b1b-9a7e-6a5b1d1f3c55")


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
    templates: Sequence[Mapping[str, Any]],
    params: Mapping[str, str],
    *,
    seed: str,
    old_escape: bool = False,
) -> list[dict[str, Any]]:
    """The objects with `$(tt.params.x)` and `$(uid)` replaced and `metadata.name` set.

    `params` are texts as touchstone.events.bindings.pasted writes them. `seed` names the event and
    the trigger; equal seeds give equal uids and names. With `old_escape` quotes in values are
    escaped.

    Raises:
        ValueError: a value does not fit into the string it is pasted into.
    """
    # `$(` in a value is escaped as Tekton does it: a run never takes it for a variable.
    escaped = {name: value.replace("$(", "$$(") for name, value in params.items()}
    if old_escape:
        escaped = {name: value.replace('"', r"\"") for name, value in escaped.items()}
    uid = str(uuid.uuid5(_NAMESPACE, seed))
    objects = []
    for index, template in enumerate(templates):
        rendered: dict[str, Any] = _fill(template, escaped, uid)
        metadata = rendered.setdefault("metadata", {})
        if prefix := metadata.pop("generateName", ""):
            suffix = _digest(f"{seed}/{index}")[:_SUFFIX_DIGITS]
            metadata.setdefault("name", prefix[: _LONGEST - _SUFFIX_DIGITS] + suffix)
        objects.append(rendered)
    return objects


def _fill(value: Any, params: Mapping[str, str], uid: str) -> Any:
    if isinstance(value, str):
        return _pasted(value, params, uid)
    if isinstance(value, Mapping):
        return {_fill(key, params, uid): _fill(item, params, uid) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, params, uid) for item in value]
    return value


def _pasted(text: str, params: Mapping[str, str], uid: str) -> str:
    if "$(" not in text:
        return text
    pasted = _VARIABLE.sub(
        lambda match: params.get(match["name"], match[0]) if match["name"] else uid,
        json.dumps(text, ensure_ascii=False),
    )
    try:
        result = json.loads(pasted)
    except ValueError:
        result = None
    if not isinstance(result, str):
        names = sorted(params_used(text))
        raise ValueError(
            f"got a value of {', '.join(names)} that does not fit into {text!r}: Tekton pastes it"
            " into JSON, so an object needs marshalJSON() in a cel overlay, or the template the"
            " annotation triggers.tekton.dev/old-escape-quotes"
        )
    return result


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
