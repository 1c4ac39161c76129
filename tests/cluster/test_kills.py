"""Pods of runs are killed at random moments: every run ends, and nothing is promoted twice."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest

from tests.cluster.asking import Cluster, Json, RefusedError

pytestmark = [pytest.mark.cluster, pytest.mark.long]

_KILLS, _RUNS = 20, 4
_PATIENCE = 600
"""Seconds for all of it; a run whose Pods are killed ends sooner, not later."""


def _again(run: Json) -> Json:
    """The run once more, under a name that the API server chooses."""
    metadata = run["metadata"]
    return {
        "apiVersion": run["apiVersion"],
        "kind": run["kind"],
        "metadata": {
            "generateName": "killed-",
            "labels": {**metadata.get("labels", {}), "touchstone.dev/killed": "yes"},
        },
        "spec": run["spec"],
    }


def test_runs_whose_pods_are_killed_end_and_promote_no_more_than_once(cluster: Cluster, request):
    installed = Cluster(cluster.kubeconfig, request.config.getoption("installation"))
    done = [
        run
        for run in installed.items("pipelineruns", "-l", "touchstone.dev/killed!=yes")
        if any(result["name"] == "branch" for result in run.get("status", {}).get("results", []))
    ]
    if not done:
        pytest.skip(f"no run in {installed.namespace} has promoted anything: push a good model")
    seed = time.time_ns()
    draw = random.Random(seed)  # noqa: S311  # no secret: which Pod is next
    names = [_created(installed, _again(done[-1])) for _ in range(_RUNS)]
    killed: Counter[str] = Counter()
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        runs = [installed.get("pipelinerun", name) for name in names]
        going = [
            r["metadata"]["name"] for r in runs if not r.get("status", {}).get("completionTime")
        ]
        if killed.total() < _KILLS and len(going) < _RUNS:
            names.append(_created(installed, _again(done[-1])))
        elif not going:
            break
        selector = f"tekton.dev/pipelineRun in ({', '.join(names)})"
        pods = [
            pod
            for pod in installed.items("pods", "-l", selector)
            if pod["status"]["phase"] in ("Pending", "Running")
        ]
        if pods and killed.total() < _KILLS:
            pod = draw.choice(pods)
            try:
                installed("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
            except RefusedError:
                continue  # it ended meanwhile
            labels = pod["metadata"]["labels"]
            killed[labels.get("tekton.dev/pipelineTask", "affinity-assistant")] += 1
        time.sleep(draw.uniform(0.5, 6))
    told = {name: installed.get("pipelinerun", name)["status"] for name in names}
    assert killed.total() == _KILLS, (seed, killed)
    assert all(status.get("completionTime") for status in told.values()), (seed, killed)
    branches = Counter(
        result["value"]
        for status in [run["status"] for run in done[-1:]] + list(told.values())
        for result in status.get("results", [])
        if result["name"] == "branch"
    )
    assert len(branches) == 1, (seed, branches)


def _created(cluster: Cluster, run: Json) -> str:
    said = cluster("create", "-f", "-", "-o", "name", given=json.dumps(run))
    return said.strip().rpartition("/")[2]
