"""What runs leave behind is kept: whole, once, and also where recorder, store, API or Pod break."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kube_api import NAMESPACE, pipeline_run, status, step, task_run, until

from touchstone.cluster import answers, recorder
from touchstone.cluster.bounded import BoundedLog
from touchstone.cluster.metrics import Metrics
from touchstone.cluster.podlogs import PodLogs
from touchstone.cluster.recorder import Recorder
from touchstone.cluster.records import Records
from touchstone.errors import PlatformError
from touchstone.runs.otlp import Exporter

EVENT = {"touchstone.dev/event": "ev-1", "touchstone.dev/repository": "acme/model"}


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    for name in ("podlogs._PAUSE", "watching._FIRST_WAIT", "recorder._TICK"):
        monkeypatch.setattr(f"touchstone.cluster.{name}", 0.02)
    monkeypatch.setattr("touchstone.runs.faults._FIRST_WAIT", 0.02)


@pytest.fixture
def start(api, kept, tmp_path):
    """Starts a recorder; gives what stops it, and its metrics."""
    stops = []

    def started(kept=kept, exporter=None, limit=1 << 20):
        stop, metrics = threading.Event(), Metrics()
        one = Recorder(
            api.cluster,
            kept,
            namespace=NAMESPACE,
            spool=tmp_path / f"spool-{len(stops)}",
            log_limit=limit,
            metrics=metrics,
            exporter=exporter,
        )
        thread = threading.Thread(target=one.run, args=(stop,), daemon=True)
        thread.start()

        def end():
            stop.set()
            thread.join(10)

        stops.append(end)
        return end, metrics

    yield started
    for end in stops:
        end()


def run_through(api, name="r", *, refused=False, **metadata):
    """A run of two stages as a controller would write it, to its end."""
    api.put("pipelineruns", pipeline_run(name, status(), **metadata))
    api.pod(f"{name}-train-pod", "step-s", "step-t", "sidecar-host")
    api.put("taskruns", task_run(name, "train", status()))
    api.say(f"{name}-train-pod", "step-s", "epoch 1/2\n", "epoch 2/2\n")
    api.say(f"{name}-train-pod", "sidecar-host", "asked\n")
    finish(api, name, refused=refused, **metadata)


def finish(api, name, *, refused=False, **metadata):
    api.say(f"{name}-train-pod", "step-t", "last")
    api.pod(f"{name}-train-pod", "step-s", "step-t", "sidecar-host", ended=True)
    api.put("taskruns", task_run(name, "train", status(True, steps=[step("s"), step("t")])))
    api.pod(f"{name}-gate-pod", "step-judge", ended=True)
    api.say(f"{name}-gate-pod", "step-judge", "accuracy got 0.5\n")
    ended = status(not refused, steps=[step("judge", 5 if refused else 0)])
    api.put("taskruns", task_run(name, "gate", ended))
    api.put("pipelineruns", pipeline_run(name, status(not refused), ("train", "gate"), **metadata))


def whole(kept, name="r"):
    """The record once the run is in the index."""
    return until(lambda: name in kept.index(NAMESPACE) and kept.get(NAMESPACE, name))


def logs(kept, found):
    return {key: kept.store.get_bytes(digest).decode() for key, digest in found.logs.items()}


ALL = {
    "r-train/s": "epoch 1/2\nepoch 2/2\n",
    "r-train/t": "last",
    "r-train/sidecar-host": "asked\n",
    "r-gate/judge": "accuracy got 0.5\n",
}


def test_a_run_leaves_its_objects_its_event_and_every_log(api, kept, start):
    start()
    run_through(api, annotations=EVENT)
    found = whole(kept)
    assert logs(kept, found) == ALL
    assert list(found.task_runs) == ["r-train", "r-gate"]
    document = found.to_json()
    assert document["events"] == [{"id": "ev-1"}]
    assert document["pipelineRun"]["status"]["conditions"][0]["status"] == "True"
    assert kept.index(NAMESPACE)["r"]["metadata"]["uid"] == "uid-r"


def test_what_ended_before_it_was_started_is_kept_and_counted_once(api, kept, start):
    run_through(api)
    end, metrics = start()
    assert logs(kept, whole(kept)) == ALL
    text = until(lambda: 'outcome="succeeded"' in metrics.text().decode() and metrics.text())
    assert b'touchstone_runs_total{model="",namespace="team",outcome="succeeded"} 1.0' in text
    end()
    before = kept.store.ref("records/team/r")
    _, again = start()
    run_through(api, "other")
    whole(kept, "other")
    assert kept.store.ref("records/team/r") == before
    assert b'outcome="succeeded"} 1.0' in until(
        lambda: b"touchstone_runs_total{" in again.text() and again.text()
    )


def test_a_recorder_that_was_stopped_amid_a_run_goes_on_with_what_is_left(api, kept, start):
    end, _ = start()
    api.put("pipelineruns", pipeline_run("r", status()))
    api.pod("r-train-pod", "step-s", "step-t", "sidecar-host", ended=True)
    api.say("r-train-pod", "step-s", "epoch 1/2\n", "epoch 2/2\n")
    api.say("r-train-pod", "step-t", "last")
    api.say("r-train-pod", "sidecar-host", "asked\n")
    api.put("taskruns", task_run("r", "train", status(True)))
    until(lambda: (found := kept.get(NAMESPACE, "r")) and len(found.logs) == 3)
    end()
    api.remove("pods", "r-train-pod")  # its logs are kept already
    start()
    api.pod("r-gate-pod", "step-judge", ended=True)
    api.say("r-gate-pod", "step-judge", "accuracy got 0.5\n")
    api.put("taskruns", task_run("r", "gate", status(True)))
    api.put("pipelineruns", pipeline_run("r", status(True), ("train", "gate")))
    assert logs(kept, whole(kept)) == ALL


def test_a_cancelled_tasks_log_is_kept_though_its_pod_goes_with_it(api, kept, start):
    start()
    api.put("pipelineruns", pipeline_run("r", status()))
    api.pod("r-train-pod", "step-s")
    api.put("taskruns", task_run("r", "train", status()))
    api.say("r-train-pod", "step-s", "epoch 1/2\n")
    until(lambda: any(query.get("follow") for _, _, query in api.asked))
    until(lambda: _written(api, "epoch"))
    api.remove("pods", "r-train-pod")
    api.put("taskruns", task_run("r", "train", status(False, "TaskRunCancelled")))
    api.put("pipelineruns", pipeline_run("r", status(False, "Cancelled"), ("train",)))
    assert logs(kept, whole(kept)) == {"r-train/s": "epoch 1/2\n"}


def _written(api, text):
    """Give the follower the moment in which it takes what was said."""
    threading.Event().wait(0.3)
    return text


def test_a_store_that_refuses_for_a_while_loses_nothing(api, kept, start):
    class Failing(Records):
        failures = 4

        def put(self, namespace, found):
            if self.failures:
                self.failures -= 1
                raise PlatformError("the store is full")
            return super().put(namespace, found)

    _, metrics = start(Failing(kept.store))
    run_through(api, refused=True)
    assert logs(kept, whole(kept)) == ALL
    text = metrics.text().decode()
    assert 'touchstone_recorder_errors_total{namespace="team",what="store"} 4.0' in text
    assert 'touchstone_runs_total{model="",namespace="team",outcome="refused"} 1.0' in text


def test_a_run_that_is_deleted_amid_its_work_is_kept_as_far_as_it_came(api, kept, start):
    start()
    api.put("pipelineruns", pipeline_run("r", status(), ("train",)))
    api.pod("r-train-pod", "step-s")
    api.put("taskruns", task_run("r", "train", status()))
    api.say("r-train-pod", "step-s", "epoch 1/2\n")
    until(lambda: any(query.get("follow") for _, _, query in api.asked) and _written(api, "x"))
    for plural, name in (("pods", "r-train-pod"), ("taskruns", "r-train"), ("pipelineruns", "r")):
        api.remove(plural, name)
    until(lambda: (found := kept.get(NAMESPACE, "r")) and found.logs)


def test_a_taskrun_by_itself_is_a_run(api, kept, start):
    start()
    alone = task_run("x", "start", status(True))
    alone["metadata"] = {"name": "start-run-1", "annotations": EVENT}
    api.put("taskruns", alone)
    assert whole(kept, "start-run-1").to_json()["pipelineRun"] is None


def test_a_refused_watch_ends_the_recorder(api, kept, tmp_path):
    api.refused["taskruns"] = 403
    one = Recorder(
        api.cluster, kept, namespace=NAMESPACE, spool=tmp_path, log_limit=1, metrics=Metrics()
    )
    with pytest.raises(PlatformError, match="answered 403"):
        one.run(threading.Event())


def test_a_recorder_that_hears_nothing_is_not_healthy(api, kept, tmp_path, monkeypatch):
    one = Recorder(
        api.cluster, kept, namespace=NAMESPACE, spool=tmp_path, log_limit=1, metrics=Metrics()
    )
    assert one.healthy
    monkeypatch.setattr(recorder, "_QUIET", 0)
    assert not one.healthy
    answer = answers.public(lambda: one.healthy, Metrics().text)
    assert [answer(path)[0] for path in ("/healthz", "/metrics", "/other")] == [503, 200, 404]


# logs of Pods


def test_a_log_goes_on_where_its_connection_broke(api):
    found = []
    api.pod("p", "step-s")
    api.cut_logs = 1
    api.say("p", "step-s", "one\n", "two\n")
    one = PodLogs(api.cluster, NAMESPACE, "p", lambda _, data: found.append(data))
    one.start()
    until(lambda: len(found) == 2)
    api.say("p", "step-s", "three")
    api.pod("p", "step-s", ended=True)
    assert one.join(10)
    assert b"".join(found) == b"one\ntwo\nthree"


def test_a_container_that_never_begins_ends_with_its_taskrun(api):
    api.pod("p", "step-s")
    del api.logs["p", "step-s"]
    one = PodLogs(api.cluster, NAMESPACE, "p", lambda *_: None)
    one.start()
    until(lambda: any(path.endswith("/log") for _, path, _ in api.asked))
    assert not one.join(0.05)
    one.end()
    assert one.join(10)


def test_a_line_without_an_end_is_handed_on_in_pieces(api, monkeypatch):
    monkeypatch.setattr("touchstone.cluster.podlogs._LONGEST", 10)
    found = []
    api.pod("p", "step-s", ended=True)
    api.say("p", "step-s", "a" * 5000, "")
    api.logs["p", "step-s"] = [b"a" * 5000 + b"\n", b"end\n"]
    assert PodLogs(api.cluster, NAMESPACE, "p", lambda _, data: found.append(data)).read()
    assert b"".join(found) == b"a" * 5000 + b"\nend\n"


def test_of_a_long_log_the_beginning_and_the_end_are_kept(tmp_path):
    log = BoundedLog(tmp_path, 3000)
    lines = [b"line %04d\n" % number for number in range(1000)]
    for line in lines:
        log.write(line)
    found = log.whole().read_bytes()
    assert len(found) <= 3100
    assert found.startswith(b"".join(lines[:50]))
    assert found.endswith(b"".join(lines[-100:]))
    left_out = int(found.split(b"... ")[1].split()[0])
    assert (
        left_out + len(found) - len(b"\n... %d bytes are left out here ...\n" % left_out) == 10_000
    )


# traces


def test_spans_that_a_collector_did_not_take_are_sent_again(api, start):
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200 if len(received) > 1 else 503)
            self.end_headers()

        def log_message(self, *_):
            return

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/"
    start(exporter=Exporter.of({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}))
    run_through(api, annotations=EVENT)
    until(lambda: len(received) == 2)
    server.shutdown()
    server.server_close()
    assert received[0] == received[1]


# what is answered to who may forward a port


def test_loopback_gives_what_is_stored_of_its_namespaces_alone(kept):
    digest = kept.store.put_bytes(b"log")
    for name in ("records/team/r", "records/other/r", "runs/r/verdict"):
        kept.store.set_ref(name, digest)
    answer = answers.stored(kept.store, [NAMESPACE])
    assert answer("/refs/records/team/r") == (200, digest.encode())
    assert answer("/refs/runs/r/verdict")[0] == 200
    assert answer(f"/blobs/{digest}") == (200, b"log")
    assert answer("/names/records/team") == (200, b"records/team/r")
    assert answer("/refs/records/team/x")[0] == 404
    for path in ("records/other/r", "records/team/../other/r", "../x", "refused/1"):
        assert answer(f"/refs/{path}")[0] == 403
    assert [answer(path)[0] for path in ("/", "/blobs/sha256:x", "/names/records")] == [403] * 3
