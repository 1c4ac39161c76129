"""References are replaced in Tekton's passes, each over what the last one left.

What a test expects is what Tekton 1.15 did with the same YAML on a cluster, or what its own
reconcilers make of it (pkg/reconciler/{pipelinerun,taskrun}/resources/apply.go).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_runs import Ran, run_text

from touchstone.engine.pod.process import SWITCH


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths differ where steps have no mounts of their own; what is replaced does not."""
    monkeypatch.setenv(SWITCH, "off")


def _taskrun(tmp_path: Path, spec: str, before: str = "") -> Ran:
    return run_text(
        f"{before}\n---\napiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata: {{name: r}}\n"
        f"spec:\n{_indented(spec)}",
        tmp_path,
    )


def _pipelinerun(tmp_path: Path, spec: str, before: str = "") -> Ran:
    return run_text(
        f"{before}\n---\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {{name: r}}\n"
        f"spec:\n{_indented(spec)}",
        tmp_path,
    )


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.strip("\n").split("\n"))


def _said(ran: Ran, task: str = "") -> list[str]:
    """The lines that the step `s` printed."""
    name = f"r-{task}" if task else "r"
    return (ran.home / "logs" / "r" / name / "s.log").read_text().splitlines()


def _print(*args: str) -> str:
    """A step that prints each of its arguments on a line of its own."""
    quoted = ", ".join(f"'{arg}'" for arg in args)
    return f"{{name: s, image: bash, command: [printf, '%s\\n'], args: [{quoted}]}}"


_TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: print}
spec:
  params: [{name: p, default: none}]
  results: [{name: out}]
  workspaces: [{name: w, optional: true}]
  steps:
  - {name: s, image: bash, command: [printf, '%s\\n'], args: ["$(params.p)"]}
"""


def test_contexts_in_values_and_defaults_of_a_pipeline_are_replaced(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
params: [{name: given, value: "given-$(context.pipelineRun.name)"}]
pipelineSpec:
  params:
  - {name: tag, default: "run-$(context.pipelineRun.name)"}
  - {name: given}
  - {name: arr, type: array, default: ["a-$(context.pipelineRun.name)", b]}
  - {name: obj, properties: {k: {}}, default: {k: "o-$(context.pipelineRun.name)"}}
  tasks:
  - name: t
    params:
    - {name: p, value: "$(params.tag) $(params.given) $(params.obj.k) $(params.arr[0])"}
    taskRef: {name: print}
  - name: prop
    taskSpec:
      steps:
      - name: s
        image: bash
        command: [printf, '%s\\n']
        args: [$(params.tag), $(params.given), $(params.obj.k), "$(params.arr[*])"]
  - name: cond
    when: [{input: $(params.tag), operator: in, values: [run-r]}]
    taskRef: {name: print}
""",
        _TASK,
    )
    assert ran.condition["reason"] == "Succeeded"
    assert _said(ran, "t") == ["run-r given-r o-r a-r"]
    assert _said(ran, "prop") == ["run-r", "given-r", "o-r", "a-r", "b"]


def test_what_only_the_task_can_replace_reaches_it_in_a_param(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
workspaces: [{name: w, emptyDir: {}}]
pipelineSpec:
  workspaces: [{name: w}]
  tasks:
  - name: t
    workspaces: [{name: w}]
    params:
    - {name: p, value: "$(context.taskRun.name) $(context.task.name) $(workspaces.w.bound)"}
    taskRef: {name: print}
  - name: paths
    workspaces: [{name: w}]
    params: [{name: p, value: "$(results.out.path)=$(workspaces.w.path)/f"}]
    taskRef: {name: print}
""",
        _TASK,
    )
    assert _said(ran, "t") == ["r-t print true"]
    result, _, file = _said(ran, "paths")[0].partition("=")
    assert result.endswith("/results/out") and file.endswith("/volumes/w/f")


def test_a_value_is_not_read_again_by_its_own_pass(tmp_path: Path) -> None:
    ran = _taskrun(
        tmp_path,
        f"""
params:
- {{name: a, value: "$(params.b) $(results.out.path)$(context.taskRun.name)"}}
- {{name: b, value: secret}}
taskSpec:
  params: [{{name: a}}, {{name: b}}]
  steps: [{_print("$(params.a)")}]
""",
    )
    assert _said(ran) == ["$(params.b) $(results.out.path)r"]


def test_a_value_that_brings_a_reference_to_nothing_fails_the_pod_as_in_tekton(
    tmp_path: Path,
) -> None:
    for value in ("$(params.token)", "$(context.task.secret)"):
        ran = _taskrun(
            tmp_path / value.strip("$()"),
            f"""
params: [{{name: a, value: "{value}"}}]
taskSpec:
  params: [{{name: a}}]
  steps: [{_print("$(params.a)")}]
""",
        )
        assert ran.condition["reason"] == "PodCreationFailed"
        assert f'non-existent variable in "{value}"' in ran.condition["message"]


def test_a_result_that_looks_like_a_reference_is_replaced_by_later_passes_alone(
    tmp_path: Path,
) -> None:
    text = "$(tasks.b.results.r) $(params.x) $(context.pipelineRun.name) $(context.task.name)"
    ran = _pipelinerun(
        tmp_path,
        f"""
params: [{{name: x, value: hidden}}]
pipelineSpec:
  tasks:
  - name: a
    taskSpec:
      results: [{{name: r}}]
      steps:
      - name: s
        image: bash
        env: [{{name: T, value: '{text}'}}]
        script: |
          printf %s '$''(tasks.b.results.r) $''(context.pipelineRun.name)' > $(results.r.path)
  - name: b
    taskSpec:
      results: [{{name: r}}]
      steps: [{{name: s, image: bash, script: "printf s3cret > $(results.r.path)"}}]
  - name: direct
    runAfter: [b]
    params: [{{name: p, value: $(tasks.a.results.r)}}]
    taskRef: {{name: print}}
  - name: embedded
    runAfter: [b]
    taskSpec: {{steps: [{_print("$(tasks.a.results.r)")}]}}
""",
        _TASK,
    )
    assert _said(ran, "direct") == ["$(tasks.b.results.r) $(context.pipelineRun.name)"]
    assert _said(ran, "embedded") == ["$(tasks.b.results.r) $(context.pipelineRun.name)"]


def test_results_of_steps_name_no_variable_of_the_environment(tmp_path: Path) -> None:
    ran = _taskrun(
        tmp_path,
        """
taskSpec:
  steps:
  - name: a
    image: bash
    results: [{name: r}]
    script: printf %s '$''(TOKEN)' > $(step.results.r.path)
  - name: s
    image: bash
    env: [{name: TOKEN, value: s3cret}]
    command: [printf, '%s\\n']
    args: [$(steps.a.results.r), $(TOKEN)]
""",
    )
    assert _said(ran) == ["$(TOKEN)", "s3cret"]


def test_a_value_names_variables_that_the_step_declares_and_none_of_this_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://user:s3cret@proxy")
    ran = _taskrun(
        tmp_path,
        """
params: [{name: p, value: "$(OWN) $(HTTPS_PROXY) $(HOME) $(TOUCHSTONE_HOME)"}]
taskSpec:
  params: [{name: p}]
  steps:
  - name: s
    image: bash
    env: [{name: OWN, value: own}, {name: NEXT, value: "$(OWN)/$(HOME)"}]
    command: [printf, '%s\\n']
    args: [$(params.p), $(NEXT)]
""",
    )
    assert _said(ran) == ["own $(HTTPS_PROXY) $(HOME) $(TOUCHSTONE_HOME)", "own/$(HOME)"]


def test_a_result_is_no_reference_to_results_of_a_child_pipeline(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
pipelineSpec:
  tasks:
  - name: a
    taskSpec:
      results: [{name: r}]
      steps:
      - {name: s, image: bash, script: "printf %s '$''(tasks.x.results.r)' > $(results.r.path)"}
  - name: child
    params: [{name: p, value: $(tasks.a.results.r)}]
    pipelineSpec:
      params: [{name: p}]
      tasks:
      - name: x
        taskSpec:
          results: [{name: r}]
          steps: [{name: s, image: bash, script: "printf s3cret > $(results.r.path)"}]
      - {name: then, params: [{name: p, value: $(params.p)}], taskRef: {name: print}}
""",
        _TASK,
    )
    assert ran.condition["reason"] == "CreateRunFailed"
    assert "cannot use result expressions in [tasks.x.results.r]" in ran.condition["message"]


def test_a_child_pipeline_knows_what_its_task_gives_it_and_nothing_else(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        f"""
params: [{{name: outer, value: "$(context.pipeline.name)"}}]
workspaces: [{{name: w, emptyDir: {{}}}}]
pipelineSpec:
  workspaces: [{{name: w}}]
  tasks:
  - name: child
    params: [{{name: p, value: [$(params.outer), b]}}, {{name: o, value: {{k: $(params.outer)}}}}]
    workspaces: [{{name: inner, workspace: w}}]
    pipelineSpec:
      tasks:
      - name: t
        taskSpec:
          steps:
          - {_print("$(params.p[*])", "$(params.o.k)", "$(workspaces.inner.bound)")}
""",
    )
    assert ran.condition["reason"] == "Succeeded", ran.condition
    assert _said(ran, "child-t") == ["r", "b", "r", "true"]


def test_the_name_of_an_embedded_task_is_its_taskruns(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        f"""
pipelineSpec:
  tasks:
  - name: a
    retries: 2
    params: [{{name: t, value: $(context.pipelineTask.retries)}}]
    taskSpec:
      params: [{{name: t}}]
      steps: [{_print("$(context.task.name)", "$(context.pipelineTask.retries)", "$(params.t)")}]
""",
    )
    assert _said(ran, "a") == ["r-a", "$(context.pipelineTask.retries)", "2"]


def test_defaults_of_an_embedded_task_know_neither_given_params_nor_the_pipelines(
    tmp_path: Path,
) -> None:
    ran = _pipelinerun(
        tmp_path,
        f"""
pipelineSpec:
  params: [{{name: outer, default: o}}]
  tasks:
  - name: a
    params: [{{name: given, value: g}}]
    taskSpec:
      params:
      - {{name: given}}
      - {{name: of-given, default: $(params.given)}}
      - {{name: of-outer, default: $(params.outer)}}
      steps: [{_print("$(params.of-given)", "$(params.of-outer)")}]
""",
    )
    assert _said(ran, "a") == ["$(params.of-given)", "$(params.of-outer)"]


_MATRIX = """
  - name: m
    matrix: {params: [{name: v, value: [x, "y", z]}]}
    taskSpec: &t
      params: [{name: v}]
      results: [{name: o}]
      steps: [{name: s, image: bash, script: 'printf $(params.v) > $(results.o.path)'}]
  - name: k
    matrix: {params: [{name: v, value: [x, "y"]}]}
    taskSpec: *t
"""


def test_the_length_of_a_matrix_is_known_to_tasks_that_do_not_wait_for_it(tmp_path: Path) -> None:
    lengths = "$(tasks.m.matrix.length) $(tasks.k.matrix.length)"
    ran = _pipelinerun(
        tmp_path,
        f"""
pipelineSpec:
  tasks:{_MATRIX}
  - {{name: one, params: [{{name: p, value: $(tasks.m.matrix.length)}}], taskRef: {{name: print}}}}
  - {{name: two, params: [{{name: p, value: {lengths}}}], taskRef: {{name: print}}}}
  - name: both
    params: [{{name: p, value: {lengths}}}, {{name: q, value: $(tasks.k.matrix.length)}}]
    taskRef: {{name: print}}
  finally:
  - {{name: f, params: [{{name: p, value: $(tasks.m.matrix.o.length)}}], taskRef: {{name: print}}}}
""",
        _TASK,
    )
    assert _said(ran, "one") == ["3"]
    # Of each param Tekton looks for the first matrix alone.
    assert _said(ran, "two") == ["3 $(tasks.k.matrix.length)"]
    assert _said(ran, "both") == ["3 2"]
    assert _said(ran, "f") == ["3"]


def test_embedded_tasks_see_results_and_no_status(tmp_path: Path) -> None:
    parts = ("text", "list[*]", "list[0]", "o.k")
    seen = [*(f"$(tasks.a.results.{part})" for part in parts), "$(tasks.status)"]
    ran = _pipelinerun(
        tmp_path,
        f"""
pipelineSpec:
  tasks:
  - name: a
    taskSpec:
      results: [{{name: text}}, {{name: list, type: array}}, {{name: o, properties: {{k: {{}}}}}}]
      steps:
      - name: s
        image: bash
        script: |
          printf t > $(results.text.path)
          printf '["x","y"]' > $(results.list.path)
          printf '{{"k":"v"}}' > $(results.o.path)
  finally:
  - name: f
    taskSpec:
      steps:
      - {_print(*seen)}
""",
    )
    assert _said(ran, "f") == ["t", "x", "y", "$(tasks.a.results.list[0])", "v", "$(tasks.status)"]


def test_the_innermost_given_value_of_a_param_wins_and_a_default_of_the_task_does_not(
    tmp_path: Path,
) -> None:
    ran = _pipelinerun(
        tmp_path,
        f"""
params: [{{name: run, value: from-run}}]
pipelineSpec:
  params:
  - {{name: run}}
  - {{name: o, properties: {{x: {{}}, z: {{}}}}, default: {{x: "1", z: "2"}}}}
  tasks:
  - name: default
    taskSpec:
      params: [{{name: run, default: from-task}}]
      steps: [{_print("$(params.run)")}]
  - name: given
    params: [{{name: run, value: from-given}}, {{name: o, value: {{x: "3"}}}}]
    taskSpec:
      steps: [{_print("$(params.run)", "$(params.o.x)", "$(params.o.z)")}]
""",
    )
    assert _said(ran, "default") == ["from-run"]
    assert _said(ran, "given") == ["from-given", "3", "2"]


def test_the_keys_that_a_run_leaves_out_of_an_object_are_those_of_the_task_alone(
    tmp_path: Path,
) -> None:
    ran = _pipelinerun(
        tmp_path,
        f"""
params: [{{name: o, value: {{k: run}}}}]
pipelineSpec:
  params: [{{name: o, properties: {{k: {{}}, m: {{}}}}, default: {{k: "", m: pipeline}}}}]
  tasks:
  - name: own
    params: [{{name: o, value: {{k: given}}}}]
    taskSpec:
      params: [{{name: o, properties: {{k: {{}}, m: {{}}}}, default: {{m: task}}}}]
      steps: [{_print("$(params.o.k)", "$(params.o.m)")}]
  - name: none
    params: [{{name: p, value: "$(params.o.k) $(params.o.m)"}}]
    taskSpec:
      params: [{{name: p}}]
      steps: [{_print("$(params.p)")}]
""",
    )
    assert _said(ran, "own") == ["given", "task"]
    (none,) = ran.task("none")["conditions"]
    assert 'non-existent variable in "run $(params.o.m)"' in none["message"]


def test_workspaces_of_the_pipeline_task_and_those_it_uses_come_into_an_embedded_task(
    tmp_path: Path,
) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
workspaces: [{name: shared, volumeClaimTemplate: {spec: {}}}, {name: other, emptyDir: {}}]
pipelineSpec:
  workspaces: [{name: shared}, {name: other}]
  tasks:
  - name: write
    workspaces: [{name: data, workspace: shared}]
    taskSpec:
      workspaces: [{name: data}]
      steps: [{name: s, image: bash, script: "echo 42 > $(workspaces.data.path)/answer"}]
  - name: renamed
    runAfter: [write]
    workspaces: [{name: data, workspace: shared}]
    taskSpec:
      steps: [{name: s, image: bash, script: "cat $(workspaces.data.path)/answer"}]
  - name: propagated
    runAfter: [write]
    taskSpec:
      steps:
      - name: s
        image: bash
        script: cat $(workspaces.shared.path)/answer; echo '$(workspaces.other.volume)'
  finally:
  - name: sidecar
    taskSpec:
      sidecars: [{name: c, image: bash, script: "ls $(workspaces.shared.path)"}]
      steps: [{name: s, image: bash, script: "cat $(workspaces.shared.path)/answer"}]
""",
    )
    assert ran.condition["reason"] == "Succeeded", ran.condition
    assert _said(ran, "renamed") == _said(ran, "sidecar") == ["42"]
    answer, volume = _said(ran, "propagated")
    assert answer == "42" and volume.startswith("ws-")


def test_a_workspace_that_a_default_names_is_bound_and_one_that_a_given_value_names_is_not(
    tmp_path: Path,
) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {k: s3cret}\n---\n"
    ran = _pipelinerun(
        tmp_path,
        f"""
params: [{{name: given, value: $(workspaces.key.path)/k}}]
workspaces: [{{name: key, secret: {{secretName: key}}}}, {{name: shared, emptyDir: {{}}}}]
pipelineSpec:
  params: [{{name: given}}, {{name: default, default: $(workspaces.shared.path)}}]
  workspaces: [{{name: key}}, {{name: shared}}]
  tasks:
  - name: t
    taskSpec: {{steps: [{_print("$(params.given)", "$(params.default)")}]}}
""",
        secret,
    )
    given, default = _said(ran, "t")
    assert given == "$(workspaces.key.path)/k" and default.endswith("/volumes/shared")


def test_an_undeclared_param_that_is_given_reaches_whatever_the_webhook_does_not_read(
    tmp_path: Path,
) -> None:
    objects = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: trust}\ndata: {k: CERT}\n"
    ran = _pipelinerun(
        tmp_path,
        """
pipelineSpec:
  tasks:
  - name: a
    params: [{name: cm, value: trust}, {name: key, value: k}]
    taskSpec:
      params: [{name: other, default: x}]
      stepTemplate: {env: [{name: T, valueFrom: {configMapKeyRef: {name: $(params.cm), key: k}}}]}
      steps:
      - name: s
        image: bash
        envFrom: [{prefix: $(params.key)_, configMapRef: {name: $(params.cm)}}]
        script: echo $T $k_k
  - name: extra
    params: [{name: p, value: a}, {name: not-declared, value: b}]
    taskRef: {name: print}
""",
        objects + "---" + _TASK,
    )
    assert _said(ran, "a") == ["CERT CERT"] and _said(ran, "extra") == ["a"]


def test_a_param_declared_by_an_embedded_task_is_not_given_by_the_pipeline(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
params: [{name: p, value: x}]
pipelineSpec:
  tasks:
  - {name: a, taskSpec: {params: [{name: p}], steps: [{name: s, image: bash, script: "true"}]}}
""",
    )
    assert ran.condition["reason"] == "PipelineValidationFailed"
    assert "no value for param p" in ran.condition["message"]


def test_a_step_action_takes_values_before_the_passes_of_its_task(tmp_path: Path) -> None:
    action = """
apiVersion: tekton.dev/v1beta1
kind: StepAction
metadata: {name: say}
spec:
  params:
  - {name: a}
  - {name: b, default: "<$(params.a)>"}
  - {name: list, type: array}
  image: bash
  command: [printf, '%s\\n']
  args: [$(params.a), $(params.b), "$(params.list[*])", "$(params.list[1])"]
"""
    ran = _taskrun(
        tmp_path,
        """
params: [{name: x, value: "$(context.taskRun.name) $(params.w)"}, {name: w, value: z}]
taskSpec:
  params: [{name: x}, {name: w}]
  steps:
  - name: first
    image: bash
    results: [{name: r, type: array}]
    script: printf '["1","2"]' > $(step.results.r.path)
  - name: s
    ref: {name: say}
    params: [{name: a, value: $(params.x)}, {name: list, value: "$(steps.first.results.r[*])"}]
""",
        action,
    )
    assert ran.condition["reason"] == "Succeeded", ran.condition
    assert _said(ran) == ["r z", "<r z>", "1", "2", "2"]


def test_an_array_as_the_input_of_when_is_its_json(tmp_path: Path) -> None:
    ran = _pipelinerun(
        tmp_path,
        """
params: [{name: list, value: [a, b]}]
pipelineSpec:
  tasks:
  - name: a
    taskSpec:
      results: [{name: list, type: array}]
      steps: [{name: s, image: bash, script: "printf '[\\"x\\"]' > $(results.list.path)"}]
  - name: b
    when:
    - {input: "$(tasks.a.results.list[*])", operator: in, values: ['["x"]']}
    - {input: x, operator: in, values: ["$(tasks.a.results.list[*])"]}
    taskRef: {name: print}
""",
        _TASK,
    )
    assert ran.condition["reason"] == "Succeeded" and not ran.skipped


def test_bindings_take_the_runs_params_and_no_default(tmp_path: Path) -> None:
    (tmp_path / "volumes" / "mine").mkdir(parents=True)
    (tmp_path / "volumes" / "mine" / "f").touch()
    ran = _pipelinerun(
        tmp_path,
        """
params: [{name: claim, value: mine}]
workspaces: [{name: w, persistentVolumeClaim: {claimName: $(params.claim)}}]
pipelineSpec:
  params: [{name: sub, default: other}]
  workspaces: [{name: w}]
  tasks:
  - name: a
    workspaces: [{name: w}]
    taskSpec: {steps: [{name: s, image: bash, script: "ls $(workspaces.w.path)"}]}
""",
    )
    assert _said(ran, "a") == ["f"]
