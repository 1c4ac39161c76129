"""Commands say of a cluster's runs what they say of embedded ones, also when Pods are gone."""

import http.client
import json
import threading

import pytest
import yaml
from kube_api import NAMESPACE, pipeline_run, status, step, task_run, until
from report_samples import check, document, evidence
from typer.testing import CliRunner

from touchstone.artifacts.store import Store
from touchstone.cli import _app
from touchstone.cluster import answers
from touchstone.cluster.connect import PIPELINE_RUNS
from touchstone.cluster.forwarded import Forwarded
from touchstone.cluster.records import Record, row, slim
from touchstone.errors import PlatformError, UsageError
from touchstone.requests.cluster import repeat

ABOUT = {
    "labels": {"touchstone.dev/revision": "1234567"},
    "annotations": {
        "touchstone.dev/repository": "acme/model",
        "touchstone.dev/branch": "main",
        "touchstone.dev/event": "ev-1",
    },
}


@pytest.fixture
def cluster(api, tmp_path, monkeypatch):
    """The stand-in as the current context of a kubeconfig."""
    monkeypatch.setattr("touchstone.cluster.podlogs._PAUSE", 0.02)
    context = {"cluster": "c", "user": "u", "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": context}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TOUCHSTONE_CLUSTER", "1")
    return api


@pytest.fixture
def ran(cluster):
    """A run whose second stage failed, with its Pods."""
    failed = status(False, steps=[step("s", 3)])
    cluster.put("taskruns", task_run("small", "one", status(True, results=[RESULT])))
    cluster.put("taskruns", task_run("small", "two", failed))
    run = pipeline_run("small", status(False, results=[RESULT], skippedTasks=[SKIPPED]), **ABOUT)
    run["status"]["childReferences"] = pipeline_run("small", {}, ("one", "two"))["status"][
        "childReferences"
    ]
    cluster.put("pipelineruns", run)
    for pod in ("small-one-pod", "small-two-pod"):
        cluster.pod(pod, "step-s", ended=True)
    cluster.say("small-one-pod", "step-s", "hello\n")
    cluster.say("small-two-pod", "step-s", "hint: look\n", "error: broken\n")
    return cluster


RESULT = {"name": "said", "type": "string", "value": "yes"}
SKIPPED = {"name": "three", "reason": "PipelineRun was stopping"}


def invoke(*arguments):
    return CliRunner().invoke(_app(), list(arguments))


def forget(api):
    """Objects and Pods go; what was recorded stays."""
    for plural, name in list(api.objects):
        api.remove(plural, name)


def recorded(api, kept):
    """Keep the run as a recorder would, and go on without its objects."""
    items = {name: item for (plural, name), item in api.objects.items() if plural == "taskruns"}
    run = Record(
        pipeline_run=slim(api.objects["pipelineruns", "small"], "PipelineRun"),
        task_runs={name: slim(item, "TaskRun") for name, item in items.items()},
        logs={
            "small-one/s": kept.store.put_bytes(b"hello\n"),
            "small-two/s": kept.store.put_bytes(b"hint: look\nerror: broken\n"),
        },
    )
    kept.put(NAMESPACE, run)
    kept.put_index(NAMESPACE, {"small": row(run.run)})
    forget(api)


@pytest.fixture(params=["there", "kept by a store", "kept by a recorder"])
def shown(request, ran, kept, monkeypatch):
    """The run while it is there, and when a recorder has kept it and nothing else is left."""
    if request.param == "there":
        return
    recorded(ran, kept)
    if request.param == "kept by a store":
        monkeypatch.setenv("TOUCHSTONE_STORE", str(kept.store.root))
        return
    labels = {"app.kubernetes.io/name": "touchstone-recorder"}
    metadata = {"name": "touchstone-recorder-1", "labels": labels}
    ran.put(
        "pods", {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": "Running"}}
    )
    server = answers.listen("127.0.0.1", 0, answers.stored(kept.store, [NAMESPACE]))
    request.addfinalizer(server.server_close)
    request.addfinalizer(server.shutdown)
    monkeypatch.setattr(
        Forwarded,
        "_connect",
        lambda self: http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5),
    )


def test_runs_logs_describe_and_events_say_the_same_before_and_after(shown):
    (found,) = json.loads(invoke("runs", "--json").stdout)
    about = {key: found[key] for key in ("name", "status", "done", "model", "branch", "commit")}
    assert about == {
        "name": "small",
        "status": "Failed",
        "done": True,
        "model": "acme/model",
        "branch": "main",
        "commit": "1234567",
    }
    assert (found["duration"], found["taskRuns"]) == (7.0, 2)
    assert invoke("logs").stdout.splitlines() == [
        "[one : s] hello",
        "[two : s] hint: look",
        "[two : s] error: broken",
    ]
    assert invoke("logs", "small", "one").stdout.splitlines() == ["[one : s] hello"]
    one, two, three = json.loads(invoke("describe", "small", "--json").stdout)["stages"]
    assert (one["status"], one["results"]) == ("True", {"said": "yes"})
    assert (two["failed_step"], two["error"]) == ("s", ["broken", "hint: look"])
    assert (three["status"], three["reason"]) == ("Skipped", "PipelineRun was stopping")
    (event,) = json.loads(invoke("events", "--json").stdout)
    assert (event["id"], event["runs"]) == ("ev-1", ["small"])
    assert invoke("watch", "--json").exit_code == 1
    assert "did you mean small?" in invoke("logs", "smal").exception.hint


def test_a_run_whose_objects_are_gone_can_be_repeated(ran, kept, monkeypatch):
    recorded(ran, kept)
    monkeypatch.setenv("TOUCHSTONE_STORE", str(kept.store.root))
    told = json.loads(invoke("rerun", "small", "--json").stdout)
    made = ran.objects["pipelineruns", told["name"]]
    assert made["spec"] == {"pipelineRef": {"name": "model"}}
    assert made["metadata"]["annotations"]["touchstone.dev/rerun-of"] == "small"
    assert isinstance(invoke("rerun", "--failed", "small").exception, UsageError)


def test_a_repeated_run_does_not_begin_cancelled(api):
    run = pipeline_run("small", status(False))
    run["spec"] |= {"status": "Cancelled"}
    name = repeat(api.cluster, api.put("pipelineruns", run))
    assert "status" not in api.objects["pipelineruns", name]["spec"]


def test_the_report_of_a_run_is_read_from_the_store(shown, ran, kept, tmp_path, monkeypatch):
    verdict = {**document(evidence(check())), "run": "small", "passed": False, "evidence": {}}
    kept.store.set_ref("runs/small/verdict", kept.store.put_json(verdict))
    if ("pipelineruns", "small") in ran.objects:
        monkeypatch.setenv("TOUCHSTONE_STORE", str(kept.store.root))
        run = ran.objects["pipelineruns", "small"]
        run["status"]["childReferences"][1]["pipelineTaskName"] = "verdict"
    else:
        found = kept.get(NAMESPACE, "small")
        found.pipeline_run["status"]["childReferences"][1]["pipelineTaskName"] = "verdict"
        kept.put(NAMESPACE, found)
        kept.put_index(NAMESPACE, {"small": row(found.run)})
    made = invoke("report", "small", "--to", str(tmp_path), "--json")
    assert not made.exception, made.exception
    told = json.loads(made.stdout)
    assert (told["run"], told["became"]) == ("small", "refused: nothing was promoted")
    assert all((tmp_path / name).is_file() for name in told["files"])


def test_following_prints_what_comes_waits_for_pods_and_ends_with_the_run(cluster):
    cluster.put("pipelineruns", pipeline_run("live", status(), **ABOUT))
    lines = []
    followed = threading.Thread(
        target=lambda: lines.extend(invoke("logs", "-f", "live").stdout.splitlines())
    )
    followed.start()
    until(lambda: any("watch" in query for _, _, query in cluster.asked))
    cluster.put("taskruns", task_run("live", "one", status()))  # its Pod is not there yet
    cluster.pod("live-one-pod", "step-s")
    cluster.say("live-one-pod", "step-s", "early\n")
    until(lambda: any(query.get("follow") for _, _, query in cluster.asked))
    cluster.say("live-one-pod", "step-s", "late")
    cluster.pod("live-one-pod", "step-s", ended=True)
    cluster.put("taskruns", task_run("live", "one", status(True, steps=[step("s")])))
    cluster.put("pipelineruns", pipeline_run("live", status(True), ("one",), **ABOUT))
    followed.join(20)
    assert lines == ["[one : s] early", "[one : s] late"]


def test_watch_says_what_a_stage_waits_for(cluster):
    waiting = status(None, "ExceededNodeResources")
    cluster.put("pipelineruns", pipeline_run("live", status(), ("one",), **ABOUT))
    cluster.put("taskruns", task_run("live", "one", waiting))
    assert isinstance(invoke("watch", "live", "--timeout", "0.5").exception, Exception)
    told = []
    watched = threading.Thread(target=lambda: told.append(invoke("watch", "live")))
    watched.start()
    until(lambda: any("watch" in query for _, _, query in cluster.asked))
    cluster.put("taskruns", task_run("live", "one", status(True)))
    cluster.put("pipelineruns", pipeline_run("live", status(True), ("one",), **ABOUT))
    watched.join(20)
    assert told[0].exit_code == 0
    assert "live: Succeeded" in told[0].stdout


def test_cancel_asks_the_controller_and_an_ended_run_is_refused(ran):
    ran.put("pipelineruns", pipeline_run("live", status(), **ABOUT))
    told = json.loads(invoke("cancel", "live", "--mode", "StoppedRunFinally", "--json").stdout)
    assert told["specStatus"] == "StoppedRunFinally"
    assert ran.objects["pipelineruns", "live"]["spec"]["status"] == "StoppedRunFinally"
    assert "has ended already" in str(invoke("cancel", "small").exception)


def test_without_a_recorder_it_is_said_what_cannot_be_known(cluster):
    error = invoke("describe").exception
    assert "there is no run in namespace team" in str(error)
    assert "there is no recorder" in str(error)
    cluster.put("pipelineruns", pipeline_run("small", status(True), ("verdict",)))
    cluster.put("taskruns", task_run("small", "verdict", status(True)))
    assert "got no recorder" in str(invoke("report", "small").exception)


def test_a_refusing_api_is_told(ran):
    ran.refused["pipelineruns"] = 403
    assert "answered 403" in str(invoke("runs").exception)


def test_nothing_is_written_through_a_forwarded_port(api):
    store = Store(Forwarded(api.cluster, "pod"))
    with pytest.raises(PlatformError, match="read from only"):
        store._backend.set_ref("a", "sha256:" + "0" * 64)
    assert api.cluster.get(PIPELINE_RUNS, "a") is None
