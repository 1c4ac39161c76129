"""The Task `judge` and the CI files judge what anyone has, with nothing else of the pipeline."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from engine_runs import run_text

from touchstone.home import SHIPPED

EXAMPLE = SHIPPED / "training" / "examples" / "gates"
FILES = SHIPPED / "docs" / "how-to" / "gates-in-ci"
RUN = """
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: judged}
spec:
  workspaces:
    - name: shared
      volumeClaimTemplate:
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
  pipelineSpec:
    workspaces: [{name: shared}]
    results: [{name: refused-by, value: $(tasks.judge.results.refused-by)}]
    tasks:
      - name: train
        workspaces: [{name: shared, workspace: shared}]
        taskSpec:
          workspaces: [{name: shared}]
          steps:
            - name: write
              image: busybox
              workingDir: $(workspaces.shared.path)
              script: |
                cat > gates.yaml << END
                gates: {quality: {checks: [{metric: accuracy, atLeast: 0.99}]}}
                END
                echo label,prediction > data.csv
                for i in 0 1 2 3 4 5 6 7 8 9; do printf 'a,b\\na,a\\nb,b\\nb,b\\n' >> data.csv; done
      - name: judge
        runAfter: [train]
        taskRef: {name: judge}
        params: [{name: gates, value: [quality]}]
        workspaces:
          - {name: source, workspace: shared}
          - {name: report, workspace: shared, subPath: report}
    finally:
      - name: tell
        params: [{name: passed, value: $(tasks.judge.results.passed)}]
        workspaces: [{name: shared, workspace: shared}]
        taskSpec:
          params: [{name: passed}]
          workspaces: [{name: shared}]
          steps:
            - name: tell
              image: busybox
              workingDir: $(workspaces.shared.path)/report
              script: |
                echo "passed: $(params.passed)"
                cat gates.sarif
"""


def test_the_task_judges_what_another_left_and_tells_of_a_refusal(tmp_path):
    ran = run_text((SHIPPED / "tekton/tasks/judge.yaml").read_text() + RUN, tmp_path / "home")
    judged = ran.task("judge")
    assert judged["steps"][0]["terminated"]["exitCode"] == 5
    assert "error: refused by quality" in ran.log("judge", "judge")
    passed, _, sarif = ran.log("tell", "tell").partition("\n")
    assert passed == "passed: false"
    (result,) = json.loads(sarif)["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "gates.yaml"


@pytest.mark.parametrize("name", ["../data.csv", "link.csv"])
def test_no_path_leads_out_of_the_workspace(tmp_path, name):
    workspace = tmp_path / "workspace"
    shutil.copytree(EXAMPLE, workspace)
    shutil.copy(EXAMPLE / "predictions.csv", tmp_path / "data.csv")
    (workspace / "link.csv").symlink_to(tmp_path / "data.csv")
    results = [f"--result-{one}={tmp_path / one}" for one in ("passed", "refused-by")]
    asked = [f"--data={name}", "--policy=gates.yaml", *results, "--", "quality"]
    script = [sys.executable, "-P", str(SHIPPED / "scripts" / "judge.py")]
    done = subprocess.run([*script, *asked], cwd=workspace, capture_output=True, text=True)
    assert done.returncode == 4
    assert "leads out of the workspace" in done.stderr
    assert not (tmp_path / "passed").exists()


def _action(**given):
    """The shell of the GitHub Action's last step, and its environment."""
    action = yaml.safe_load((FILES / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    inputs = {name: one.get("default", "") for name, one in action["inputs"].items()} | given
    names = {
        key: re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", v)[1] for key, v in step["env"].items()
    }
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return shell, {key: inputs[name] for key, name in names.items()}


def _gitlab(**given):
    """The shell of the GitLab job."""
    header, body = (FILES / "gitlab-ci.yml").read_text().split("\n---\n")
    inputs = yaml.safe_load(header)["spec"]["inputs"]
    inputs = {name: one.get("default", "") for name, one in inputs.items()} | given
    text = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: inputs[match[1]], body)
    job = yaml.safe_load(text)["trust-gates"]
    variables = {name: value or "" for name, value in job["variables"].items()}
    return ["sh", "-ec", "\n".join(job["script"])], variables


@pytest.mark.parametrize("job", [_action, _gitlab])
def test_the_shell_of_a_ci_file_judges_and_ends_as_the_command_does(tmp_path, job):
    folder = tmp_path / "work"
    shutil.copytree(EXAMPLE, folder)
    (folder / "gates.yaml").write_text(
        (EXAMPLE / "gates.yaml").read_text().replace("0.8}", "0.99}")
    )
    shell, environment = job(gates="quality", data="predictions.csv")
    left = {"GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **left, **environment, "PATH": path}
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    assert "wrote trust-report/gates.xml" in done.stdout
    if job is _action:
        assert (tmp_path / "out").read_text() == "code=5\n"
        assert (tmp_path / "s.md").read_text().startswith("# ❌ predictions: refused")


def test_no_input_of_the_action_is_pasted_into_a_script():
    for step in yaml.safe_load((FILES / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
