"""runs, logs and describe say what happened, for people and for machines."""

import json
import textwrap
import threading

import pytest
from report_samples import check, document, evidence
from typer.testing import CliRunner

from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.home import Home
from touchstone.runs.lookup import local

PIPELINE = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata:
  name: small
  annotations: {touchstone.dev/repository: acme/model, touchstone.dev/branch: main}
spec:
  pipelineSpec:
    results: [{name: said, value: $(tasks.one.results.said)}]
    tasks:
      - name: one
        taskSpec:
          results: [{name: said}]
          steps: [{name: s, image: bash, script: "echo hello; printf yes > $(results.said.path)"}]
      - name: two
        runAfter: [one]
        retries: 1
        taskSpec:
          steps: [{name: s, image: bash, script: "echo first; echo broken >&2; exit 3"}]
      - name: three
        runAfter: [two]
        taskSpec: {steps: [{name: s, image: bash, script: "echo three"}]}
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    (tmp_path / "p.yaml").write_text(textwrap.dedent(PIPELINE))
    invoke("run", "-f", str(tmp_path / "p.yaml"))


def invoke(*arguments):
    return CliRunner().invoke(_app(), list(arguments))


def test_runs_lists_what_a_run_is_about_and_how_it_stands(ran):
    (row,) = json.loads(invoke("runs", "--json").stdout)
    told = {key: row[key] for key in ("name", "status", "done", "model", "branch")}
    assert told == {
        "name": "small",
        "status": "Failed",
        "done": True,
        "model": "acme/model",
        "branch": "main",
    }
    assert invoke("runs").stdout.splitlines()[1].split()[:3] == ["small", "Failed", "acme/model"]
    assert json.loads(invoke("runs", "--model", "other", "--json").stdout) == []


def test_watch_follows_a_run_of_touchstone_run_as_one_of_the_platform(ran):
    shown = invoke("watch", "--json")
    told = json.loads(shown.stdout)
    assert (told["run"], told["reason"], told["done"]) == ("small", "Failed", True)
    assert shown.exit_code == told["exitCode"] == 1
    assert "there is no run 'smal'" in str(invoke("watch", "smal").exception)


def test_logs_prefix_each_line_and_narrow_to_a_stage(ran):
    assert invoke("logs", "small").stdout.splitlines() == [
        "[one : s] hello",
        "[two : s] first",
        "[two : s] broken",
    ]
    lines = invoke("logs", "small", "two", "--json").stdout.splitlines()
    assert json.loads(lines[1]) == {
        "task": "two",
        "taskrun": "small-two",
        "step": "s",
        "text": "broken",
    }
    assert "no stage 'six'" in str(invoke("logs", "small", "six").exception)
    assert "did you mean small?" in invoke("logs", "smal").exception.hint


def test_describe_tells_reasons_retries_results_and_the_last_lines(ran):
    document = json.loads(invoke("describe", "small", "--lines", "1", "--json").stdout)
    one, two, three = document["stages"]
    assert (one["status"], one["results"]) == ("True", {"said": "yes"})
    assert two["failed_step"] == "s"
    assert two["last_lines"] == ["broken"]
    assert len(two["retries"]) == 1
    assert "exited with code 3" in two["retries"][0]
    assert (three["status"], three["reason"]) == ("Skipped", "PipelineRun was stopping")
    assert document["results"] == {"said": "yes"}
    text = invoke("describe", "small").stdout
    assert "attempt 1 of 2" in text
    assert "skipped: PipelineRun was stopping" in text
    assert "last lines of step s" in text


JUDGED = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: judged}
spec:
  pipelineSpec:
    tasks:
      - name: verdict
        taskSpec: {steps: [{name: s, image: bash, script: "true"}]}
"""


def test_describe_says_what_the_model_was_asked_before_what_became_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    (tmp_path / "p.yaml").write_text(JUDGED)
    invoke("run", "-f", str(tmp_path / "p.yaml"))
    store = Store(Home(local(Home.default())).artifacts)
    weak = evidence(check(), warnings=["epsilon is tiny"])
    for passed in (True, False):
        verdict = {**document(weak), "run": "judged", "passed": passed}
        store.set_ref("runs/judged/verdict", store.put_json(verdict))
        told = json.loads(invoke("describe", "judged", "--json").stdout)["asked"]
        # What only the reference says, and Tekton does not, is nobody's verdict.
        assert bool(told) is passed
        text = invoke("describe", "judged").stdout
        assert ("quality: accuracy >= 0.8 (on 100 samples)" in text) is passed
        if passed:
            assert told["warnings"] == ["quality: epsilon is tiny"]
            assert text.index("warning: quality: epsilon is tiny") < text.index("stages")


def test_follow_prints_what_comes_until_the_run_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_HOME", str(tmp_path / "home"))
    go = tmp_path / "go"
    (tmp_path / "t.yaml").write_text(f"""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {{name: slow}}
spec:
  taskSpec:
    steps:
      - name: s
        image: bash
        script: "echo early; while [ ! -e {go} ]; do sleep 0.05; done; printf late"
""")
    engine = threading.Thread(target=invoke, args=("run", "-f", str(tmp_path / "t.yaml")))
    engine.start()
    while not list(tmp_path.glob("home/run/logs/slow/slow/s.log")):
        threading.Event().wait(0.02)
    threading.Timer(0.5, go.touch).start()
    # CliRunner swaps sys.stdout for the whole process, so the follower is one of its own here.
    import os
    import subprocess
    import sys

    told = subprocess.run(
        [sys.executable, "-m", "touchstone", "logs", "-f", "slow"],
        env=os.environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    engine.join(20)
    assert told.stdout == "[slow : s] early\n[slow : s] late\n"


@pytest.mark.parametrize("taken", [0, 1])
def test_a_run_goes_on_when_nobody_reads_what_it_prints(taken, tmp_path):
    import os
    import subprocess
    import sys

    (tmp_path / "t.yaml").write_text("""
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: told}
spec:
  taskSpec:
    steps: [{name: s, image: bash, script: "for i in 1 2 3; do echo $i; sleep 0.3; done"}]
""")
    process = subprocess.Popen(
        [sys.executable, "-m", "touchstone", "run", "-f", str(tmp_path / "t.yaml")],
        env={**os.environ, "TOUCHSTONE_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(taken):
        process.stdout.readline()
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == ("", 0)
    log = tmp_path / "home" / "run" / "logs" / "told" / "told" / "s.log"
    assert log.read_text() == "1\n2\n3\n"
