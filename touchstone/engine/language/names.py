"""How are the objects called that a run makes? As Tekton calls them."""

from __future__ import annotations

import hashlib

_NAME_LIMIT = 63
"""Characters a Kubernetes object's name may have where it becomes a label."""


def run_names(run: str, task: str, count: int) -> list[str]:
    """The names of a pipeline task's runs; those of several end in their number."""
    if count == 1:
        return [child_name(run, f"-{task}")]
    names = []
    for index in range(count):
        name = child_name(run, f"-{task}-{index}")
        if not name.endswith(f"-{index}"):
            name = child_name(run, f"-{task}")[: _NAME_LIMIT - len(f"-{count}")] + f"-{index}"
        names.append(name)
    return names


def child_name(parent: str, suffix: str) -> str:
    """`parent` + `suffix` as Knative shortens it, with a hash, where a label would not hold it."""
    if len(parent) + len(suffix) <= _NAME_LIMIT:
        return parent + suffix
    head = _NAME_LIMIT - 32
    if len(suffix) >= head:
        name = (parent[:head] + _md5(parent + suffix) + suffix)[:_NAME_LIMIT]
        return name.rstrip("-.")
    return parent[: head - len(suffix)] + _md5(parent) + suffix


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
