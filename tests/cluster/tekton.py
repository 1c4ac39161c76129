"""A probe on a cluster that runs Tekton: its answer in the words that the engine's is told in."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from tests.cluster.asking import Cluster, RefusedError
from tests.cluster.probes import Probe
from tests.cluster.status import told

_PATIENCE = 240
"""Seconds that a run may take; where it takes longer, that is the answer."""


def ask(probe: Probe, cluster: Cluster) -> dict[str, Any]:
    """What becomes of the probe there."""
    texts = re.split(r"^---\n", probe.text, flags=re.MULTILINE)  # kubectl reads the YAML, not us
    refused = []
    for text, body in zip(texts, probe.objects, strict=True):
        try:
            cluster.create(text)
        except RefusedError:
            refused.append(f"{body['kind']}/{body['metadata']['name']}")
    if refused:
        return {"refused": sorted(refused)}
    kind = probe.run["kind"].lower()
    if probe.once_running:
        _interfere(probe, kind, cluster)
    try:
        run = cluster.ended(kind, probe.name, limit=_PATIENCE)
    except TimeoutError:
        run = cluster.get(kind, probe.name)
    children = _ended_children(probe, cluster) if kind == "pipelinerun" else {}
    answer = told(run["status"], children)
    return dict(json.loads(json.dumps(answer).replace(f"{cluster.namespace}/", "default/")))


def _interfere(probe: Probe, kind: str, cluster: Cluster) -> None:
    """Set the run's spec.status once the step of a task runs."""
    task = probe.once_running
    awaited = task if task == probe.name else f"{probe.name}-{task}"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for item in cluster.items("taskruns"):
            steps = item.get("status", {}).get("steps", [])
            if item["metadata"]["name"] == awaited and any("running" in step for step in steps):
                patch = json.dumps({"spec": {"status": probe.spec_status}})
                cluster("patch", kind, probe.name, "--type=merge", "-p", patch)
                return
        time.sleep(1)


def _ended_children(probe: Probe, cluster: Cluster) -> dict[str, Any]:
    """The children's statuses: those that a timeout ends do so a moment after their run."""
    until = time.monotonic() + 60
    while True:
        children = cluster.children(probe.name)
        ended = all("completionTime" in status for status in children.values())
        if ended or time.monotonic() > until:
            return children
        time.sleep(1)
