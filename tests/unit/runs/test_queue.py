"""The queue starts what the limits allow, says why the rest waits, and lets newer runs replace."""

import pytest

from touchstone.runs.memory import Run
from touchstone.runs.queue import Limits, decide


def run(name, repository="", branch="main", status="", progress="", unqueued=""):
    annotations = {
        "touchstone.dev/cancel-in-progress": progress,
        "touchstone.dev/unqueued": unqueued,
    }
    if repository:
        annotations |= {"touchstone.dev/repository": repository, "touchstone.dev/branch": branch}
    return Run(
        name=name,
        manifest={
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"status": status} if status else {},
        },
        status={},
        done=False,
        created=0.0,
    )


@pytest.mark.parametrize(
    ("runs", "executing", "start", "waits"),
    [
        ([run("a"), run("b"), run("c")], [], ["a", "b"], {"c": "waits for a slot: runs a, b are"}),
        ([run("a"), run("b")], ["a"], ["b"], {}),
        ([run("a", "m"), run("b", "m"), run("c", "n")], [], ["a", "c"], {"b": "of model m"}),
        ([run("a", "m"), run("b", "m")], ["a"], [], {"b": "a slot of model m: run a is before it"}),
        ([run("a", status="PipelineRunPending"), run("b")], [], ["b"], {"a": "PipelineRunPending"}),
        # One that is cancelled has only its end written, and waits for nobody.
        ([run("a", "m"), run("b", "m", status="Cancelled")], ["a"], ["b"], {}),
    ],
)
def test_the_limits_hold_and_the_reason_is_said(runs, executing, start, waits):
    queue = decide(runs, executing, Limits(runs=2))
    assert queue.start == start
    assert queue.waits.keys() == waits.keys()
    assert all(text in queue.waits[name] for name, text in waits.items())


def test_a_request_waits_for_no_run_and_takes_no_place_of_one():
    runs = [run("a", "m"), run("asks", "m", unqueued="true"), run("b"), run("c")]
    queue = decide(runs, ["a", "asks"], Limits(runs=2))
    assert (queue.start, list(queue.waits)) == (["b"], ["c"])
    queue = decide(runs, ["a", "b"], Limits(runs=2))
    assert (queue.start, list(queue.waits)) == (["asks"], ["c"])


def test_two_runs_of_a_model_go_together_where_allowed():
    queue = decide([run("a", "m"), run("b", "m")], [], Limits(runs=4, per_model=2))
    assert queue.start == ["a", "b"]


@pytest.mark.parametrize(
    ("older", "newer", "cancel"),
    [
        (run("a", "m"), run("b", "m", progress="true"), {"a": "Cancelled"}),
        (
            run("a", "m"),
            run("b", "m", progress="CancelledRunFinally"),
            {"a": "CancelledRunFinally"},
        ),
        (run("a", "m"), run("b", "m"), {}),
        (run("a", "m"), run("b", "m", progress="maybe"), {}),
        (run("a", "m", branch="x"), run("b", "m", progress="true"), {}),
        (run("a", "n"), run("b", "m", progress="true"), {}),
        (run("a"), run("b", progress="true"), {}),
        (run("a", "m", status="StoppedRunFinally"), run("b", "m", progress="true"), {}),
    ],
)
def test_a_newer_run_replaces_older_ones_of_its_branch_only_where_it_asks_to(older, newer, cancel):
    assert decide([older, newer], ["a"], Limits(runs=4)).cancel == cancel
