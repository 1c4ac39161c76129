"""Defaults of params: from one another, in any order, and never in a circle."""

from __future__ import annotations

import pytest

from touchstone.engine.language.values import misfits, resolve
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


def test_what_does_not_fit_is_found_once_for_all_who_tell_it():
    specs = [
        {"name": "text", "enum": ["a", "b"]},
        {"name": "list", "type": "array"},
        {"name": "object", "properties": {"x": {}, "y": {}}, "default": {"y": "1"}},
        {"name": "given-later"},
    ]
    given = {"text": "c", "list": "no list", "object": {"z": "1"}, "nobody": "1"}
    found = misfits(specs, given)
    assert (found.unknown, found.missing) == (["nobody"], ["given-later"])
    assert found.wrong_types == {"list": ("string", "array")}
    assert found.outside_enum == {"text": "c"}
    assert found.lacking_keys == {"object": ["x"]}


def test_a_reference_may_stand_for_anything_until_it_is_replaced():
    specs = [{"name": "text", "enum": ["a"]}, {"name": "list", "type": "array"}]
    given = {"text": "$(params.x)", "list": "$(tasks.t.results.r[*])"}
    early, late = misfits(specs, given, unresolved=True), misfits(specs, given)
    assert not early.wrong_types and not early.outside_enum
    assert set(late.wrong_types) == {"list"} and set(late.outside_enum) == {"text"}
