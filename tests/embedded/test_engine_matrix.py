"""Fan-out of pipeline tasks: combinations, names, results, lengths, skips and limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_runs import Ran, run_text

from touchstone.engine.language.matrix import MatrixError, fan_out
from touchstone.engine.language.names import child_name, run_names
from touchstone.engine.language.substitute import Scope

_RUN = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: fan}
spec:
  pipelineSpec:
    tasks:
"""

_SAY = """
      taskSpec:
        params: [{name: x}, {name: y, default: none}]
        results: [{name: said, description: both}]
        steps: [{name: s, script: "printf %s '$(params.x)-$(params.y)' > $(results.said.path)"}]
"""


def _run(tasks: str, home: Path, rest: str = "") -> Ran:
    return run_text(_RUN + tasks + rest, home)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (
            {"params": [{"name": "b", "value": ["1", "2"]}, {"name": "a", "value": ["x", "y"]}]},
            ["a=x b=1", "a=x b=2", "a=y b=1", "a=y b=2"],
        ),
        (
            {
                "params": [{"name": "os", "value": ["linux", "mac"]}],
                "include": [
                    {"params": [{"name": "os", "value": "mac"}, {"name": "arm", "value": "yes"}]},
                    {"params": [{"name": "os", "value": "bsd"}]},
                    {"params": [{"name": "all", "value": "1"}]},
                ],
            },
            ["all=1 os=linux", "all=1 arm=yes os=mac", "os=bsd"],
        ),
        (
            {"include": [{"params": [{"name": "v", "value": "1"}]}, {"params": []}]},
            ["v=1", ""],
        ),
        ({"params": [{"name": "a", "value": []}, {"name": "b", "value": ["1"]}]}, []),
    ],
)
def test_a_matrix_fans_out_into_tekton_s_combinations_in_tekton_s_order(
    matrix: dict[str, object], expected: list[str]
) -> None:
    found = fan_out(matrix, Scope(), task="t")
    assert [" ".join(f"{k}={v}" for k, v in item.items()) for item in found] == expected


def test_a_param_that_is_no_array_is_refused_in_tekton_s_words() -> None:
    with pytest.raises(MatrixError, match='type array only are allowed, but param "a" has type'):
        fan_out({"params": [{"name": "a", "value": "$(tasks.x.results.y)"}]}, Scope(), task="t")


def test_names_of_runs_are_those_tekton_gives() -> None:
    assert run_names("run", "task", 1) == ["run-task"]
    assert run_names("run", "task", 3) == ["run-task-0", "run-task-1", "run-task-2"]
    assert (
        child_name("a" * 60, "-build") == "a" * 25 + "cc7ed669cf88f201c3297c6a91e1d18d" + "-build"
    )
    long = child_name("r" * 20, "-" + "t" * 50)
    assert len(long) == 63 and long.startswith("r" * 20)
    assert all(
        len(name) <= 63 and name.endswith(f"-{i}")
        for i, name in enumerate(run_names("r" * 62, "t" * 40, 12))
    )


def test_results_of_a_matrix_aggregate_and_fan_out_again(tmp_path: Path) -> None:
    ran = _run(
        "    - name: first"
        + _SAY
        + """
      displayName: says $(params.x)
      matrix:
        params: [{name: x, value: [a, b]}]
        include:
          - {name: "named $(params.x)", params: [{name: x, value: b}, {name: y, value: c}]}
    - name: second"""
        + _SAY
        + """
      matrix: {params: [{name: x, value: "$(tasks.first.results.said[*])"}]}
    - name: third
      params:
        - {name: all, value: "$(tasks.second.results.said[*])"}
        - {name: runs, value: $(tasks.second.matrix.length)}
        - {name: left, value: $(tasks.second.matrix.said.length)}
      taskSpec:
        params: [{name: all, type: array}, {name: runs}, {name: left}]
        steps:
          - name: s
            args: ["$(params.all[*])", $(params.runs), $(params.left)]
            script: 'echo "$@"'
    results: [{name: all, value: "$(tasks.second.results.said[*])"}]
""",
        tmp_path,
    )
    assert ran.condition["message"] == "Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 0"
    assert ran.results == {"all": ["a-none-none", "b-c-none"]}
    # As in Tekton, an array that only a result gives counts as one value of the matrix.
    assert ran.log("third", "s") == "a-none-none b-c-none 1 2\n"
    children = {item["name"]: item for item in ran.status["childReferences"]}
    assert list(children) == [
        "fan-first-0",
        "fan-first-1",
        "fan-second-0",
        "fan-second-1",
        "fan-third",
    ]
    assert children["fan-first-0"]["displayName"] == "says a"
    assert children["fan-first-1"]["displayName"] == "named b"


def test_one_failed_run_fails_the_task_once_all_ended_and_retries_count_alone(
    tmp_path: Path,
) -> None:
    ran = _run(
        """
    - name: odd
      retries: 1
      matrix: {params: [{name: x, value: ["0", "1"]}]}
      taskSpec:
        params: [{name: x}]
        steps: [{name: s, script: "exit $(params.x)"}]
    - name: after
      runAfter: [odd]
      taskSpec: {steps: [{name: s, script: exit 0}]}
    finally:
    - name: last
      matrix: {params: [{name: x, value: ["$(tasks.status)", b]}]}
      params: [{name: y, value: "$(tasks.odd.status) $(tasks.status)"}]
      taskSpec:
        params: [{name: x}, {name: y}]
        steps: [{name: s, script: "echo '$(params.x)' $(params.y)"}]
""",
        tmp_path,
    )
    assert ran.condition["reason"] == "Failed"
    assert ran.skipped == {"after": "PipelineRun was stopping"}
    assert "retriesStatus" not in ran.task("odd-0")
    assert len(ran.task("odd-1")["retriesStatus"]) == 1
    assert ran.log("last-0", "s") == "$(tasks.status) Failed Failed\n"
    assert ran.log("last-1", "s") == "b Failed Failed\n"


def test_an_empty_array_skips_and_too_many_combinations_fail_the_run(tmp_path: Path) -> None:
    tasks = (
        """
    - name: make
      taskSpec:
        results: [{name: none, type: array}, {name: many, type: array}]
        steps:
          - name: s
            script: |
              printf '[]' > $(results.none.path)
              printf '[%s"x"]' "$(printf '"x",%.0s' $(seq 256))" > $(results.many.path)
    - name: none"""
        + _SAY
        + '      matrix: {params: [{name: x, value: "$(tasks.make.results.none[*])"}]}\n'
    )
    ran = _run(tasks, tmp_path / "none")
    assert ran.skipped == {"none": "Matrix Parameters have an empty array"}
    assert ran.condition["reason"] == "Completed"
    ran = _run(tasks.replace("results.none[*]", "results.many[*]"), tmp_path / "many")
    assert ran.condition["reason"] == "PipelineValidationFailed"
    assert "expected 0 <= 257 <= 256" in ran.condition["message"]
