"""rerun repeats a run whole, or only what failed and what follows, also after a crash."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from touchstone.cli import _app
from touchstone.home import Home
from touchstone.runs.lookup import local
from touchstone.runs.store import State

TEXT = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {{generateName: p-}}
spec:
  workspaces: [{{name: w, volumeClaimTemplate: {{spec: {{}}}}}}]
  pipelineSpec:
    workspaces: [{{name: w}}]
    results: [{{name: got, value: $(tasks.after.results.got)}}]
    tasks:
      - name: good
        workspaces: [{{name: w}}]
        taskSpec:
          workspaces: [{{name: w}}]
          results: [{{name: said}}]
          steps: [{{name: s, image: bash, script: "echo good >> {m}; echo kept > $(workspaces.w.path)/f; printf yes > $(results.said.path)"}}]
      - name: bad
        taskSpec: {{steps: [{{name: s, image: bash, script: "echo bad >> {m}; {body}"}}]}}
        onError: continue
      - name: follows
        runAfter: [bad]
        taskSpec: {{steps: [{{name: s, image: bash, script: "echo follows >> {m}"}}]}}
      - name: worse
        runAfter: [follows]
        taskSpec: {{steps: [{{name: s, image: bash, script: "echo worse >> {m}; [ -e {m}.go ]"}}]}}
      - name: after
        runAfter: [worse]
        params: [{{name: said, value: $(tasks.good.results.said)}}]
        workspaces: [{{name: w}}]
        taskSpec:
          params: [{{name: said}}]
          workspaces: [{{name: w}}]
          results: [{{name: got}}]
          steps: [{{name: s, image: bash, script: "printf %s $(params.said)-$(cat $(workspaces.w.path)/f) > $(results.got.path)"}}]
    finally:
      - name: last
        taskSpec: {{steps: [{{name: s, image: bash, script: "echo last >> {m}"}}]}}
"""  # noqa: E501


@pytest.fixture
def marks(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    file = tmp_path / "marks"
    (tmp_path / "p.yaml").write_text(TEXT.format(m=file, body=f"[ -e {file}.go ]"))
    return file


def invoke(*arguments):
    return CliRunner().invoke(_app(), list(arguments))


def runs():
    return json.loads(invoke("runs", "--json").stdout)


def took(file):
    lines = file.read_text().split()
    file.write_text("")
    return sorted(lines)


def test_failed_runs_what_failed_and_what_follows_and_takes_over_the_rest(marks):
    invoke("run", "-f", str(marks.parent / "p.yaml"))
    assert took(marks) == ["bad", "follows", "good", "last", "worse"]
    (marks.parent / "marks.go").touch()
    result = invoke("rerun", "--failed")
    assert result.exception is None, result.output
    assert took(marks) == ["bad", "follows", "last", "worse"]
    new, old = runs()
    assert (old["status"], new["status"]) == ("Failed", "Succeeded")
    document = json.loads(invoke("describe", "--json").stdout)
    assert document["rerunOf"] == old["name"]
    assert document["results"] == {"got": "yes-kept"}
    taken = {stage["name"]: stage["taken_from"] for stage in document["stages"]}
    assert taken == {
        **dict.fromkeys(("bad", "follows", "worse", "after", "last"), ""),
        "good": old["name"],
    }
    assert "did not fail" in str(invoke("rerun", "--failed").exception)


def test_rerun_repeats_the_whole_with_the_files_of_today(marks):
    invoke("run", "-f", str(marks.parent / "p.yaml"))
    took(marks)
    (marks.parent / "marks.go").touch()
    assert invoke("rerun", runs()[0]["name"]).exception is None
    assert took(marks) == ["bad", "follows", "good", "last", "worse"]
    assert len({row["name"] for row in runs()}) == 2
    (marks.parent / "p.yaml").unlink()
    error = invoke("rerun").exception
    assert (error.exit_code, "p.yaml" in str(error)) == (3, True)


def test_breakpoints_are_those_of_the_repetition_alone(marks):
    (marks.parent / "marks.go").touch()
    invoke("run", "-f", str(marks.parent / "p.yaml"), "--breakpoint")
    assert invoke("rerun", "--breakpoint-before", "none").exception is None
    assert invoke("rerun").exception is None
    said = []
    for row in runs():
        run = State(local(Home.default())).run(row["name"])
        said.append(run.manifest["metadata"]["annotations"].get("touchstone.dev/breakpoints"))
    assert said == [None, '{"beforeSteps": ["none"]}', '{"onFailure": "enabled"}']


def test_what_a_crash_left_is_taken_over(marks):
    file = marks.parent / "p.yaml"
    file.write_text(TEXT.format(m=marks, body=f"[ -e {marks}.go ] || sleep 60"))
    killed = subprocess.Popen(
        [sys.executable, "-m", "touchstone", "run", "-f", str(file)], stdout=subprocess.DEVNULL
    )
    limit = time.monotonic() + 20
    while not marks.exists() or set(marks.read_text().split()) != {"good", "bad"}:
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(0.3)
    assert "is being executed" in str(invoke("rerun", "--failed").exception)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert runs()[0]["status"] == "Interrupted"
    took(marks)
    (marks.parent / "marks.go").touch()
    assert invoke("rerun", "--failed").exception is None
    assert took(marks) == ["bad", "follows", "last", "worse"]
