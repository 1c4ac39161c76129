"""The embedded platform sends the spans that a recorder would, and goes on to what is served."""

import pytest
from collector import collector
from delivery_platform import Shelf
from engine_runs import run_text

from touchstone.cluster.traces import CONTEXTS, MADE_OF
from touchstone.delivery import release
from touchstone.delivery.sync import Sync
from touchstone.platform.traces import Traces
from touchstone.runs import otlp
from touchstone.runs.otlp import Exporter
from touchstone.runs.store import State

RUN = """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata:
  name: two
  labels: {%s: e-1}
  annotations: {touchstone.dev/event: e-1, %s: '{"traceparent":"%s"}'}
spec:
  pipelineSpec:
    tasks:
      - name: good
        taskSpec: {steps: [{name: s, image: x, script: "true"}]}
      - name: bad
        runAfter: [good]
        taskSpec: {steps: [{name: s, image: x, script: "exit 3"}]}
"""


@pytest.fixture
def receiver():
    with collector() as found:
        yield found


def traces(receiver, state=None, gitops=None):
    return Traces(Exporter(url=f"{receiver.url}/v1/traces"), state, gitops)


def test_an_embedded_run_is_the_same_tree_of_spans(receiver, tmp_path):
    run_text(RUN % (MADE_OF, CONTEXTS["PipelineRun"], otlp.of_event("e-1")), tmp_path)
    traces(receiver, State(tmp_path)).ended("two")
    run = "PipelineRun run"
    assert {*receiver.spans} == {"event", run, "good", "good/s", "bad", "bad/s"}
    assert receiver.parent(run) == "event"
    assert {receiver.parent(name) for name in ("good", "bad")} == {run}
    assert receiver.parent("bad/s") == "bad"
    assert receiver.about("bad/s")["touchstone.exit_code"] == "3"
    assert receiver.spans[run].status.code == 2
    assert len(receiver.traces) == 1


def test_a_release_goes_on_with_the_trace_of_its_run_to_serving(receiver, platform):
    sync = Sync(
        platform.gitops, store=platform.store, public_key=platform.keys.public, serving=Shelf()
    )
    platform.promote(traceparent=otlp.of_event("e-1"))
    sync.step()
    platform.approve()
    (event,) = sync.step()
    traces(receiver, gitops=platform.gitops).synced(event)
    assert {*receiver.spans} == {"review staging/tiny", "serve staging/tiny"}
    assert receiver.traces == {otlp.Above.read(otlp.of_event("e-1")).trace}
    review, serve = receiver.spans.values()
    assert review.end_time_unix_nano == serve.start_time_unix_nano
    assert {receiver.parent(name) for name in receiver.spans} == {otlp.identity("event", "e-1")}


def test_what_was_served_before_the_platform_started_is_not_served_again(receiver, platform):
    platform.promote(traceparent=otlp.of_event("e-1"))
    platform.approve()
    sync = Sync(
        platform.gitops, store=platform.store, public_key=platform.keys.public, serving=Shelf()
    )
    (event,) = sync.step()
    traces(receiver, gitops=platform.gitops).synced(event)
    assert not receiver.spans


def test_a_trace_makes_no_other_release(platform):
    first = platform.promote(traceparent=otlp.of_event("e-1"))
    again = platform.promote(traceparent=otlp.of_event("e-2"))
    assert again.note == "already open" and again.release == first.release
    assert "traceparent" not in release.Release.model_fields


def test_a_collector_that_is_down_fails_nothing(receiver, tmp_path, caplog):
    run_text(RUN % (MADE_OF, CONTEXTS["PipelineRun"], ""), tmp_path)
    receiver.code = 503
    traces(receiver, State(tmp_path)).ended("two")
    assert "traces:" in caplog.text and "answered 503" in caplog.text
    Traces(None, State(tmp_path), tmp_path).ended("two")
