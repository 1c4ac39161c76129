"""Tekton's documents are read as its own decoder reads what kubectl sends."""

from __future__ import annotations

from typing import Any

import pytest

from touchstone.commands.validate import examine
from touchstone.engine.language.values import as_value
from touchstone.engine.text.load import load_text

_DEFAULTS = """\
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: yv}
spec:
  taskSpec:
    params:
      - {name: a, default: on}
      - {name: b, default: y}
      - {name: c, default: 0777}
      - {name: d, default: 1_000}
      - {name: e, default: 1e3}
      - {name: f, default: 1.0}
      - {name: g, default: 12345678901234567890}
      - {name: h, default: 2001-01-01}
      - {name: i, default: No}
      - {name: j, default: 1.10}
    steps: [{name: s, image: bash, script: "echo $(params.a)"}]
"""
_RUN = """\
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: e, creationTimestamp: null}
spec:
  pipelineSpec:
    params:
    tasks:
    - name: a
      runAfter:
      params: null
      taskSpec:
        Params: [{name: p, default: x}]
        STEPS:
        - {name: s, image: bash, script: "echo $(params.p)", workspaces: [{name: w, mountpath: /w}]}
        workspaces: [{name: w, optional: true}]
        results:
"""


def _spec(text: str) -> Any:
    (document,) = load_text(text, "f")
    return document.body["spec"]


def test_defaults_are_the_text_of_their_json_as_a_real_cluster_had_them() -> None:
    params = _spec(_DEFAULTS)["taskSpec"]["params"]
    assert [param["default"] for param in params] == [
        "true", "true", "511", "1000", "1000", "1", "12345678901234567890", "2001-01-01", "false",
        "1.1",
    ]  # fmt: skip


def test_where_go_alone_reads_a_null_default_is_none_and_a_null_value_is_empty() -> None:
    task = "  - {name: a, taskRef: {name: t}, params: [{name: p, value: }]}\n"
    spec = _spec(
        "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: e}\nspec:\n pipelineSpec:\n"
        "  params: [{name: a, type: array, default: }]\n  tasks:\n" + task
    )["pipelineSpec"]
    assert spec["params"] == [{"name": "a", "type": "array"}]
    assert spec["tasks"][0]["params"] == [{"name": "p", "value": ""}]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (None, ""),
        (["a", None], ["a", ""]),
        ({"a": None, "b": "c"}, {"a": "", "b": "c"}),
        ([1, "a"], '[1,"a"]'),
        ([{"b": 1, "a": "é"}], '[{"a":"é","b":1}]'),
        ({"a": {"b": True}}, '{"a":{"b":true}}'),
        (1e-7, "1e-7"),
    ],
)
def test_a_value_of_anything_but_strings_is_its_json(raw: Any, value: Any) -> None:
    assert as_value(raw) == value


def test_null_is_absent_and_where_no_schema_looks_names_have_any_case() -> None:
    (document,) = load_text(_RUN, "f")
    assert examine([document]) == ([], [])
    (task,) = document.body["spec"]["pipelineSpec"]["tasks"]
    assert set(task) == {"name", "taskSpec"}
    assert set(task["taskSpec"]) == {"params", "steps", "workspaces"}
    assert task["taskSpec"]["steps"][0]["workspaces"] == [{"name": "w", "mountPath": "/w"}]


def test_an_unknown_field_is_told_though_it_is_null() -> None:
    problems, _ = examine(load_text(_RUN.replace("params: null", "parms: null"), "f"))
    (problem,) = problems
    assert (problem.location, problem.hint) == ("f:10:7", "did you mean params?")
