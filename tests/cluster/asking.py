"""kubectl against the cluster of this session, and how a run is followed with it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class RefusedError(Exception):
    """The API server, or a webhook before it, said no."""


@dataclass(frozen=True)
class Cluster:
    """A cluster by its kubeconfig, and the namespace spoken of."""

    kubeconfig: str
    namespace: str = "default"

    def __call__(self, *arguments: str, given: str = "", limit: float = 120) -> str:
        """What kubectl printed. Raises RefusedError with what it said where it failed."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=limit,
            env={**os.environ, "KUBECONFIG": self.kubeconfig},
        )
        if done.returncode:
            raise RefusedError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def create(self, text: str) -> None:
        """Create one object. Raises RefusedError."""
        self("create", "-f", "-", given=text)

    def get(self, *what: str) -> Json:
        """One object, or a list of them."""
        return dict(json.loads(self("get", *what, "-o", "json")))

    def items(self, *what: str) -> list[Json]:
        """The objects of a kind."""
        return list(self.get(*what)["items"])

    def children(self, run: str) -> dict[str, Json]:
        """The statuses of a run's TaskRuns and child PipelineRuns, theirs too, by name."""
        found: dict[str, Json] = {}
        for kind in ("taskruns", "pipelineruns"):
            for item in self.items(kind, "-l", f"tekton.dev/pipelineRun={run}"):
                name = item["metadata"]["name"]
                found[name] = item.get("status", {})
                if kind == "pipelineruns" and name != run:
                    found |= self.children(name)
        return found

    def ended(self, kind: str, name: str, *, limit: float) -> Json:
        """The run once it has ended. Raises TimeoutError."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            run = self.get(kind, name)
            if run.get("status", {}).get("completionTime"):
                return run
            time.sleep(1)
        raise TimeoutError(f"{kind} {name} did not end within {limit:.0f} s: {said(run)}")

    @contextmanager
    def fresh_namespace(self, prefix: str, **labels: str) -> Iterator[Cluster]:
        """The same cluster and a namespace of its own, which goes afterwards."""
        name = f"{prefix}-{os.urandom(3).hex()}"
        self("create", "namespace", name)
        if labels:
            self("label", "namespace", name, *(f"{key}={value}" for key, value in labels.items()))
        try:
            yield Cluster(self.kubeconfig, name)
        finally:
            self("delete", "namespace", name, "--wait=false")


def said(run: Mapping[str, Any]) -> str:
    """How a run stands, in a line."""
    conditions: Sequence[Mapping[str, Any]] = run.get("status", {}).get("conditions", [])
    return "; ".join(
        f"{c['type']}={c['status']} {c.get('reason')}: {c.get('message')}" for c in conditions
    )
