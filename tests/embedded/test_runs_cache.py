"""A cached TaskRun is not run again, a changed input is, and the record says from where."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from touchstone.documents.kubectl import load_text
from touchstone.engine import Engine, Message
from touchstone.engine.pod.workspaces import Folders
from touchstone.engine.run.inputs import UncacheableError, key_of
from touchstone.engine.run.task_run import PlannedTaskRun
from touchstone.home import SHIPPED
from touchstone.runs.store import State

TEXT = """
apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: count
  annotations: {{touchstone.dev/cache: results, touchstone.dev/cache-store: store}}
spec:
  params: [{{name: word, default: a}}, {{name: list, type: array, default: []}}]
  workspaces: [{{name: store, optional: true}}, {{name: read, optional: true, readOnly: true}},
               {{name: free, optional: true}}]
  results: [{{name: said}}]
  steps:
    - name: s
      image: bash
      script: |
        echo ran >> {marks}/ran
        {body}
        printf '%s' "{digest}$(params.word)" > $(results.said.path)
---
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {{name: p}}
spec:
  params: [{{name: word, default: a}}]
  workspaces: [{{name: store, optional: true}}, {{name: read, optional: true}},
               {{name: free, optional: true}}]
  results: [{{name: said, value: $(tasks.count.results.said)}}]
  tasks:
    - name: count
      taskRef: {{name: count}}
      params: [{{name: word, value: $(params.word)}}]
      workspaces: [{{name: store}}, {{name: read}}, {{name: free}}]
"""


class Bench:
    def __init__(self, folder):
        self.home = folder / "home"
        self.home.mkdir()
        self.marks = folder
        self.state = State(self.home)
        self.notes = []
        self.write()
        self.number = 0

    def write(self, body="true", digest="", edit=("", "")):
        text = TEXT.format(marks=self.marks, body=body, digest=digest).replace(*edit)
        load_text(text, "p.yaml")
        (self.home / "p.yaml").write_text(text)
        os.utime(self.home / "p.yaml", ns=(time.time_ns(), time.time_ns()))

    def run(self, word="a", bind=(), annotations=None, template=None):
        self.number += 1
        name = f"r{self.number}"
        self.state.add_run(
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": name, "annotations": annotations or {}},
                "spec": {
                    "pipelineRef": {"name": "p"},
                    "taskRunTemplate": template or {},
                    "params": [{"name": "word", "value": word}],
                    "workspaces": [
                        {"name": item, "persistentVolumeClaim": {"claimName": item}}
                        for item in bind
                    ],
                },
            }
        )
        before = self.ran
        engine = Engine(
            self.state, self.home, definitions=[self.home / "p.yaml"], observer=self.notes.append
        )
        status = engine.execute(name)
        assert status["conditions"][0]["status"] == "True", status["conditions"]
        said = status["results"][0]["value"]
        return self.ran - before, said, name

    @property
    def ran(self):
        file = self.marks / "ran"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_second_run_takes_the_results_and_says_from_where(bench):
    assert bench.run()[:2] == (1, "a")
    ran, said, name = bench.run()
    assert (ran, said) == (0, "a")
    manifest = bench.state.taskrun_manifests(name)[f"{name}-count"]
    assert manifest["metadata"]["annotations"]["touchstone.dev/cached-from"] == "r1/r1-count"
    status = bench.state.taskruns(name)[f"{name}-count"]
    assert status["provenance"]["touchstoneCache"]["run"] == "r1"
    assert "count: results of r1/r1-count, from the cache" in [
        note.text for note in bench.notes if isinstance(note, Message)
    ]


def change_param(bench, monkeypatch):
    return {"word": "b"}


def change_script(bench, monkeypatch):
    bench.write(body="true # other")
    return {}


def change_image(bench, monkeypatch):
    bench.write(edit=("image: bash", "image: alpine"))
    return {}


def change_default(bench, monkeypatch):
    bench.write(edit=("default: []", "default: [x]"))
    return {}


def change_environment(bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    return {}


def change_path(bench, monkeypatch):
    folder = bench.marks / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return {}


def change_tools(bench, monkeypatch):
    monkeypatch.setattr("touchstone.engine.run.tools._OURS", (SHIPPED / "tekton",))
    return {}


def change_nothing_but_the_wish(bench, monkeypatch):
    return {"annotations": {"touchstone.dev/no-cache": "true"}}


@pytest.mark.parametrize(
    "change",
    [
        change_param, change_script, change_image, change_default, change_environment,
        change_path, change_tools, change_nothing_but_the_wish,
    ],
)  # fmt: skip
def test_whatever_is_read_and_changed_runs_again(bench, monkeypatch, change):
    bench.run()
    assert bench.run()[0] == 0
    assert bench.run(**change(bench, monkeypatch))[0] == 1


def test_a_workspace_that_is_read_counts_by_its_content(bench):
    file = bench.home / "volumes" / "read" / "x"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    assert bench.run(bind=["read"])[0] == 1
    assert bench.run(bind=["read"])[0] == 0
    file.write_text("2")
    assert bench.run(bind=["read"])[0] == 1
    assert bench.run()[0] == 1  # unbound is another input than bound


def test_a_scratch_workspace_counts_only_by_being_bound(bench):
    annotated = ("cache-store: store", "cache-store: store, touchstone.dev/cache-scratch: free")
    bench.write("date +%N >> $(workspaces.free.path)/x", edit=annotated)
    assert bench.run(bind=["free"])[0] == 1
    assert bench.run(bind=["free"])[0] == 0
    bench.write(edit=annotated)
    assert bench.run()[0] == 1
    assert bench.run(bind=["free"])[0] == 1


def test_what_changed_while_it_was_read_is_not_remembered(bench):
    file = bench.home / "volumes" / "read" / "x"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    bench.write(body=f"echo more >> {file}")
    assert bench.run(bind=["read"])[0] == 1
    file.write_text("1")
    assert bench.run(bind=["read"])[0] == 1


@pytest.mark.parametrize(
    ("edit", "bind", "reason"),
    [
        (("", ""), ["free"], "may write to workspace free"),
        (("echo ran", "echo $(context.taskRun.name); echo ran"), [], "differs from run to run"),
        (("- name: s\n", "- name: s\n      envFrom: [{configMapRef: {name: c}}]\n"), [], "envFrom"),
        (("cache: results", "cache: always"), [], "expected results or off"),
    ],
)
def test_what_cannot_be_told_is_not_cached_and_the_reason_is_said(bench, edit, bind, reason):
    (bench.home / "configmaps" / "c").mkdir(parents=True)
    bench.write(edit=edit)
    assert bench.run(bind=bind)[0] == 1
    assert bench.run(bind=bind)[0] == 1
    assert any(reason in note.text for note in bench.notes if isinstance(note, Message))


CREDENTIALS = """
---
apiVersion: v1
kind: Secret
metadata: {name: login, annotations: {tekton.dev/git-0: "https://git.example.com"}}
type: kubernetes.io/basic-auth
stringData: {username: ada, password: p}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: pusher}
secrets: [{name: login}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stage}
automountServiceAccountToken: false
"""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"serviceAccountName": "stage"}, ""),
        ({"podTemplate": {"automountServiceAccountToken": False}}, ""),
        ({"podTemplate": {"env": [{"name": "A", "value": "b"}]}}, "its podTemplate has env"),
        ({"podTemplate": {"securityContext": {"runAsUser": 0}}}, "podTemplate has securityContext"),
        ({"serviceAccountName": "pusher"}, "its ServiceAccount pusher brings credentials"),
    ],
)
def test_a_pods_settings_keep_it_out_of_the_cache_where_a_step_notices_them(
    bench, template, reason
):
    bench.write(edit=("\n---\n", f"{CREDENTIALS}---\n"))
    assert bench.run(template=template)[0] == 1
    assert bench.run(template=template)[0] == (1 if reason else 0)
    said = [note.text for note in bench.notes if isinstance(note, Message)]
    assert not reason or any(reason in text for text in said)


def test_nothing_is_cached_without_the_annotation(bench):
    bench.write(edit=("touchstone.dev/cache: results,", ""))
    assert [bench.run()[0], bench.run()[0]] == [1, 1]


def test_results_whose_artifact_is_gone_are_made_again(bench):
    from touchstone.artifacts.store import Store

    store = Store(bench.home / "volumes" / "store")
    inner = store.put_bytes(b"inner")
    digest = store.put_json({"type": "x", "inner": inner})
    bench.write(digest=digest + " ")
    assert [bench.run(bind=["store"])[0], bench.run(bind=["store"])[0]] == [1, 0]
    (store.root / "blobs" / "sha256" / inner.removeprefix("sha256:")).unlink()
    assert bench.run(bind=["store"])[0] == 1


def test_a_step_that_failed_and_was_let_pass_is_not_remembered(bench):
    bench.write(
        edit=("image: bash", "image: bash\n      onError: continue"), body="trap 'exit 3' EXIT"
    )
    assert [bench.run()[0], bench.run()[0]] == [1, 1]


def test_the_entry_goes_with_its_run(bench):
    bench.run()
    with bench.state.transaction() as connection:
        connection.execute("DELETE FROM runs WHERE name = 'r1'")
    assert bench.run()[0] == 1


_ENGINE = """
import sys
from pathlib import Path
from touchstone.engine import Engine
from touchstone.runs.store import State
home = Path(sys.argv[1])
Engine(State(home), home, definitions=[home / "p.yaml"]).execute("killed")
"""


def test_a_killed_stage_leaves_no_entry(bench):
    bench.write(body=f"[ -e {bench.marks}/go ] || sleep 60")
    bench.state.add_run(
        {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": "killed"},
            "spec": {"pipelineRef": {"name": "p"}},
        }
    )
    killed = subprocess.Popen([sys.executable, "-c", _ENGINE, str(bench.home)])
    limit = time.monotonic() + 20
    while not bench.ran:
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with bench.state.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM cache").fetchone() == (0,)
    (bench.marks / "go").touch()
    assert bench.run()[0] == 1
    assert bench.run()[0] == 0


def test_an_entry_is_stored_whole(bench):
    bench.run()
    with bench.state.transaction() as connection:
        (key,) = connection.execute("SELECT key FROM cache").fetchone()
    entry = bench.state.cached(key)
    assert entry.results == [{"name": "said", "type": "string", "value": "a"}]
    assert bench.state.cached("sha256:other") is None


def test_a_plan_that_says_more_than_the_key_knows_has_none(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(PlannedTaskRun):
        volumes: dict = dataclasses.field(default_factory=dict)

    order = Later(
        task="t", task_name="t", taskrun="r-t", params={}, bindings={}, volumes={"a": []},
        spec={"results": [{"name": "r"}], "steps": [{"image": "bash", "script": "true"}]},
    )  # fmt: skip
    with pytest.raises(UncacheableError, match="its plan has volumes"):
        key_of(order, {}, Folders(tmp_path, "r"))


@pytest.mark.parametrize(("said", "ran"), [("", 0), ("the weather", 1)])
def test_a_task_may_say_that_its_results_need_not_follow_from_its_inputs(bench, said, ran):
    bench.write(
        body=f"printf '%s' '{said}' > $(results.varies.path)",
        edit=("cache-store: store", "cache-store: store, touchstone.dev/cache-unless: varies"),
    )
    text = (bench.home / "p.yaml").read_text()
    text = text.replace("results: [{name: said}]", "results: [{name: said}, {name: varies}]")
    (bench.home / "p.yaml").write_text(text)
    assert bench.run()[0] == 1
    assert bench.run()[0] == ran
    notes = [note.text for note in bench.notes if isinstance(note, Message)]
    assert (f"count: not cached: {said}" in notes) == bool(said)
    (bench.home / "p.yaml").write_text(text.replace("cache-unless: varies", "cache-unless: other"))
    assert (bench.run()[0], bench.run()[0]) == (1, 1)


@pytest.mark.parametrize("name", ["TOUCHSTONE_CONFINE", "TOUCHSTONE_DATA", "TOUCHSTONE_DATA_PORTS"])
def test_what_a_models_code_may_see_is_part_of_the_key(bench, monkeypatch, name):
    assert bench.run()[0] == 1
    monkeypatch.setenv(name, "8443" if name.endswith("PORTS") else "off")
    assert (bench.run()[0], bench.run()[0]) == (1, 0)
