"""Defaults of params: what those of a Pipeline, a Task and a StepAction may refer to."""

from __future__ import annotations

import pytest

from touchstone.engine.language.values import action_params, misfits, pipeline_params, task_params
from touchstone.errors import ManifestError


def test_defaults_of_a_pipeline_refer_to_params_declared_later_and_to_other_defaults() -> None:
    specs = [
        {"name": "image", "default": "$(params.registry)/$(params.repo):$(params.tag)"},
        {"name": "args", "type": "array", "default": ["IMAGE=$(params.image)", "x"]},
        {"name": "labels", "default": {"of": "$(params.args[0])"}},
        {"name": "registry", "default": "$(params.host)/project"},
        {"name": "host", "default": "example.com"},
        {"name": "repo"},
        {"name": "tag", "default": "v1"},
    ]
    values = pipeline_params(specs, {"repo": "app", "tag": "v2"}, of="Pipeline p")
    image = "example.com/project/app:v2"
    assert values["image"] == image
    assert values["args"] == [f"IMAGE={image}", "x"]
    assert values["labels"] == {"of": f"IMAGE={image}"}


def test_a_default_of_a_pipeline_is_replaced_once_and_a_given_value_never() -> None:
    specs = [{"name": "a"}, {"name": "b", "default": "$(params.a)"}]
    values = pipeline_params(specs, {"a": "$(params.b)"}, of="Pipeline p")
    assert values == {"a": "$(params.b)", "b": "$(params.b)"}


def test_a_default_of_a_pipeline_that_refers_to_nothing_is_refused() -> None:
    for reference in ("$(params.gone)", "$(params.list[*])", "$(params.object.key)"):
        specs = [
            {"name": "a", "default": reference},
            {"name": "list", "default": ["x"]},
            {"name": "object", "default": {"key": "x"}},
        ]
        with pytest.raises(ManifestError, match='param "a" references undefined param'):
            pipeline_params(specs, {}, of="Pipeline p")


def test_a_circle_of_defaults_and_one_too_deep_are_refused() -> None:
    specs = [
        {"name": "a", "default": "$(params.b)"},
        {"name": "b", "default": "$(params.c)"},
        {"name": "c", "default": "$(params.a)"},
    ]
    with pytest.raises(ManifestError, match='circular dependency detected in param "a"'):
        pipeline_params(specs, {}, of="Pipeline p")
    values = pipeline_params(specs, {"c": "1"}, of="Pipeline p")
    assert values == {"a": "1", "b": "1", "c": "1"}
    deep = [{"name": f"p{n}", "default": f"$(params.p{n + 1})"} for n in range(12)]
    with pytest.raises(ManifestError, match=r"maximum recursion depth \(10\) exceeded"):
        pipeline_params([*deep, {"name": "p12", "default": "x"}], {}, of="Pipeline p")


def test_an_object_given_in_part_has_the_keys_of_the_default_in_a_task_alone() -> None:
    specs = [{"name": "o", "properties": {"x": {}, "y": {}}, "default": {"y": "9"}}]
    assert pipeline_params(specs, {"o": {"x": "1"}}, of="Pipeline p") == {"o": {"x": "1"}}
    whole = {"o": {"x": "1", "y": "9"}}
    assert task_params(specs, {"o": {"x": "1"}}, of="Task t") == whole
    assert action_params(specs, {"o": {"x": "1"}}, of="StepAction a") == whole


def test_a_default_of_a_task_refers_to_defaults_alone() -> None:
    specs = [
        {"name": "given"},
        {"name": "both", "default": "d"},
        {"name": "of-given", "default": "$(params.given)!"},
        {"name": "of-both", "default": "$(params.both)!"},
        {"name": "of-two", "default": "$(params.both)$(params.more)$(params.given)"},
        {"name": "more", "default": "m"},
        {"name": "list", "type": "array", "default": ["$(params.both)"]},
    ]
    values = task_params(specs, {"given": "g", "both": "b", "extra": "e"}, of="Task t")
    assert values == {
        "given": "g",
        "both": "b",
        "extra": "e",
        "of-both": "d!",
        "of-two": "$(params.both)m$(params.given)",
        "more": "m",
        "list": ["$(params.both)"],
    }


def test_defaults_of_a_step_action_refer_to_given_params_and_to_one_another() -> None:
    specs = [
        {"name": "a", "default": "$(params.b)-$(params.g)"},
        {"name": "b", "default": "[$(params.g)]"},
        {"name": "g"},
    ]
    values = action_params(specs, {"g": "$(params.a)"}, of="StepAction x")
    assert values["b"] == "[$(params.a)]" and values["a"] == "[$(params.a)]-$(params.a)"
    for default in ("$(params.a)", "$(params.gone)"):
        with pytest.raises(ManifestError, match="do not refer back"):
            action_params([{"name": "a", "default": default}], {}, of="StepAction x")


def test_what_does_not_fit_is_found_once_for_all_who_tell_it():
    specs = [
        {"name": "text", "enum": ["a", "b"]},
        {"name": "list", "type": "array"},
        {"name": "object", "properties": {"x": {}, "y": {}}, "default": {"y": "1"}},
        {"name": "given-later"},
    ]
    given = {"text": "c", "list": "no list", "object": {"z": "1"}, "nobody": "1"}
    found = misfits(specs, given)
    assert found.missing == ["given-later"]
    assert found.wrong_types == {"list": ("string", "array")}
    assert found.outside_enum == {"text": "c"}
    assert found.lacking_keys == {"object": ["x"]}


def test_a_reference_may_stand_for_anything_until_it_is_replaced():
    specs = [{"name": "text", "enum": ["a"]}, {"name": "list", "type": "array"}]
    given = {"text": "$(params.x)", "list": "$(tasks.t.results.r[*])"}
    early, late = misfits(specs, given, unresolved=True), misfits(specs, given)
    assert not early.wrong_types and not early.outside_enum
    assert set(late.wrong_types) == {"list"} and set(late.outside_enum) == {"text"}
