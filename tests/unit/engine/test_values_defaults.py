"""Defaults of params: from one another, in any order, and never in a circle."""

from __future__ import annotations

import pytest

from touchstone.engine.language.values import resolve
from touchstone.errors import ManifestError


def test_defaults_may_refer_to_params_declared_later_and_to_other_defaults() -> None:
    specs = [
        {"name": "image", "default": "$(params.registry)/$(params.repo):$(params.tag)"},
        {"name": "args", "type": "array", "default": ["IMAGE=$(params.image)", "x"]},
        {"name": "labels", "default": {"of": "$(params.args[0])"}},
        {"name": "registry", "default": "$(params.host)/project"},
        {"name": "host", "default": "example.com"},
        {"name": "repo"},
        {"name": "tag", "default": "v1"},
    ]
    values = resolve(specs, {"repo": "app", "tag": "v2"}, of="Pipeline p")
    image = "example.com/project/app:v2"
    assert values["image"] == image
    assert values["args"] == [f"IMAGE={image}", "x"]
    assert values["labels"] == {"of": f"IMAGE={image}"}


def test_a_circle_of_defaults_is_refused() -> None:
    specs = [
        {"name": "a", "default": "$(params.b)"},
        {"name": "b", "default": "$(params.c)"},
        {"name": "c", "default": "$(params.a)"},
    ]
    with pytest.raises(ManifestError, match='circular dependency detected in param "a"'):
        resolve(specs, {}, of="Pipeline p")
    assert resolve(specs, {"c": "1"}, of="Pipeline p") == {"a": "1", "b": "1", "c": "1"}
