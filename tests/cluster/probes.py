"""The small runs of parity/: one file a question, asked of the engine and of a cluster alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from touchstone.documents.kubectl import load_text

FOLDER = Path(__file__).parent / "parity"
RECORD = FOLDER / "told-by-tekton.json"
"""What Tekton answered on a real cluster, by the probe's name."""


EXPLAINED: dict[str, dict[str, str]] = {
    "cancelled-taskrun": {
        "message": "says who asked for it; Tekton's message ends with a statusMessage that is empty"
    },
    "pipelines-in-pipelines": dict.fromkeys(
        ("status", "reason", "message", "childReferences", "refused"),
        "an alpha feature: Tekton refuses it unless `enable-api-fields` is `alpha`",
    ),
    "pods-images": {
        "results[0].value": "the image's working folder there, `/workspace` here: no image is here",
        "results[1].value": "the image's home there, a folder of the TaskRun's own here",
        "results[2].value": "a step here sees which run it is of, for the platform's own stages",
    },
    "pods-without-their-map": dict.fromkeys(
        ("reason", "message"),
        "there the Pod waits four minutes for the ConfigMap and tells no name; here nobody could"
        " make it, so that the run ends at once and says which key of what is missing",
    ),
}
"""Differences that are meant, by probe and by place in the answer, and why."""


WAITING = {
    *("failure-and-finally", "results-of-a-timed-out-task", "steps-that-kill-themselves"),
    *("stopped-with-finally", "timeouts-and-retries", "timeouts-of-a-task", "timeouts-of-the-run"),
    "timeouts-of-the-tasks",
}
"""Probes that take as long as they say, ten seconds and more; a Pod's start is not to matter."""


@dataclass(frozen=True)
class Probe:
    """One file: its objects, one run among them."""

    file: Path

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @property
    def asks(self) -> str:
        """The file's first line: what is asked."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        return [dict(d.body) for d in load_text(self.text, self.file.name)]

    @property
    def run(self) -> dict[str, Any]:
        return next(body for body in self.objects if body["kind"].endswith("Run"))

    @property
    def name(self) -> str:
        """The name of its run."""
        return str(self.run["metadata"]["name"])

    @property
    def once_running(self) -> str:
        """The pipeline task, or the TaskRun, whose step is awaited before spec.status is set."""
        return str(self._annotations.get("once-running", ""))

    @property
    def spec_status(self) -> str:
        """What the run's spec.status is set to then."""
        return str(self._annotations["spec.status"])

    @property
    def _annotations(self) -> dict[str, Any]:
        return dict(self.run["metadata"].get("annotations", {}))


def probes() -> list[Probe]:
    """All of them, by name."""
    return [Probe(file) for file in sorted(FOLDER.glob("*.yaml"))]


def record() -> dict[str, Any]:
    """What Tekton answered, by the file's stem."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))
