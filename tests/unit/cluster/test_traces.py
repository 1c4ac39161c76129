"""A run is one span tree, below what started it, and what a collector takes for one."""

import json

import pytest
from collector import collector

from touchstone.cluster.records import Record
from touchstone.cluster.traces import CONTEXTS, MADE_OF, spans
from touchstone.errors import PlatformError
from touchstone.runs import otlp
from touchstone.runs.otlp import Above, Exporter

GIVEN = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
TIMES = ["2026-11-30T10:00:00Z", "2026-11-30T10:00:05Z", "2026-11-30T10:02:00Z"]


def status(passed=True, **more):
    condition = {"type": "Succeeded", "status": "True" if passed else "False"}
    condition |= {"reason": "Succeeded" if passed else "Failed", "message": "it broke"}
    return {"startTime": TIMES[1], "completionTime": TIMES[2], "conditions": [condition], **more}


def kept(uid="u1", event="e-1", traceparent="", made=True):
    annotations = {"touchstone.dev/event": event} if event else {}
    if traceparent:
        annotations[CONTEXTS["PipelineRun"]] = json.dumps({"traceparent": traceparent})
    run = {
        "kind": "PipelineRun",
        "metadata": {
            "name": f"detector-{uid}",
            "uid": uid,
            "creationTimestamp": TIMES[0],
            "labels": {MADE_OF: event} if made else {},
            "annotations": annotations,
        },
        "spec": {"pipelineRef": {"name": "model"}},
        "status": status(passed=False),
    }
    step = {
        "name": "train",
        "terminated": {"exitCode": 1, "startedAt": TIMES[1], "finishedAt": TIMES[2]},
    }
    task = {
        "kind": "TaskRun",
        "metadata": {
            "name": f"detector-{uid}-train",
            "uid": f"{uid}-t",
            "labels": {"tekton.dev/pipelineTask": "train"},
        },
        "status": status(passed=False, podName="p", steps=[step, {"name": "never"}]),
    }
    waiting = {"kind": "TaskRun", "metadata": {"name": "waiting", "uid": f"{uid}-w"}, "status": {}}
    return Record(pipeline_run=run, task_runs={"train": task, "waiting": waiting})


@pytest.fixture
def receiver():
    with collector() as found:
        yield found


def exporter(receiver, **more):
    return Exporter.of({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url + "/", **more})


def test_a_collector_gets_the_event_the_run_its_tasks_and_their_steps(receiver):
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=a%20b,other=c"}
    exporter(receiver, **headers).send(spans("team", kept()))
    assert [*receiver.spans] == ["event", "PipelineRun model", "train", "train/train"]
    assert receiver.parent("event") == ""
    assert receiver.parent("PipelineRun model") == "event"
    assert receiver.parent("train") == "PipelineRun model"
    assert receiver.parent("train/train") == "train"
    assert len(receiver.traces) == 1
    run = receiver.spans["PipelineRun model"]
    assert (run.end_time_unix_nano - run.start_time_unix_nano) / 1e9 == 120
    assert run.status.code == 2 and run.status.message == "it broke"
    assert receiver.about("train/train")["touchstone.exit_code"] == "1"
    assert receiver.about("PipelineRun model")["k8s.namespace.name"] == "team"
    assert (receiver.headers["x-api-key"], receiver.headers["other"]) == ("a b", "c")


def test_what_is_sent_twice_is_the_same_span(receiver):
    for _ in range(2):  # a recorder that was killed sends again; the collector refuses another
        exporter(receiver).send(spans("team", kept()))


def test_a_run_is_below_the_trace_that_came_with_its_event(receiver):
    exporter(receiver).send(spans("team", kept(traceparent=GIVEN)))
    assert receiver.traces == {"a" * 32}
    assert receiver.parent("PipelineRun model") == "b" * 16
    assert "event" not in receiver.spans  # whoever sent the event has sent that span


def test_runs_of_one_event_share_its_trace_however_they_were_told():
    derived = otlp.of_event("e-1")
    told, untold = (
        spans("n", kept(uid=uid, traceparent=t)) for uid, t in [("1", derived), ("2", "")]
    )
    assert {one["traceId"] for one in [*told, *untold]} == {Above.read(derived).trace}
    assert told[0] == untold[0]  # the event's span
    assert told[1]["spanId"] != untold[1]["spanId"]


@pytest.mark.parametrize(
    "wrong",
    ["", "nonsense", GIVEN.upper(), GIVEN + "-more", GIVEN.replace("a" * 32, "0" * 32), '","x":"'],
)
def test_what_is_no_trace_context_is_not_followed(wrong):
    assert otlp.of_event("e-1", wrong) == otlp.of_event("e-1") != otlp.of_event("e-2")
    assert Above.read(otlp.of_event("e-1"))


def test_a_task_that_asked_git_first_sends_the_events_span_and_not_the_run_that_it_started():
    record = kept(made=False)
    (task, _) = record.task_runs.values()
    task["metadata"] |= {
        "labels": {MADE_OF: "e-1"},
        "annotations": {
            "touchstone.dev/event": "e-1",
            CONTEXTS["TaskRun"]: json.dumps({"traceparent": otlp.of_event("e-1")}),
        },
        "creationTimestamp": TIMES[0],
    }
    started = spans("n", record)
    asked = spans("n", Record(pipeline_run=None, task_runs={"start-run": task}))
    assert [one["name"] for one in asked][0] == "event"
    assert started[0]["parentSpanId"] == asked[1]["parentSpanId"] == asked[0]["spanId"]


def test_a_run_that_no_event_started_is_a_trace_of_its_own():
    first, second = (spans("n", kept(uid=uid, event=""))[0] for uid in ("1", "2"))
    assert "parentSpanId" not in first
    assert first["traceId"] != second["traceId"]


def test_an_annotation_that_is_no_json_does_no_harm():
    for text in ("{", "[]", '"x"', '{"traceparent": 7}'):
        record = kept()
        record.run["metadata"]["annotations"][CONTEXTS["PipelineRun"]] = text
        assert spans("n", record)[0]["name"] == "event"


def test_what_nobody_takes_is_said(receiver):
    receiver.code = 503
    with pytest.raises(PlatformError, match="answered 503 to 4 spans, expected 2xx"):
        exporter(receiver).send(spans("team", kept()))
    gone = Exporter.of({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"})
    with pytest.raises(PlatformError, match="cannot be reached: ConnectError"):
        gone.send([])
    assert Exporter.of({}) is None
