"""What a step may ask of the place that keeps the runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from touchstone.events.kinds import TemplateSpec
from touchstone.runs import record
from touchstone.runs.lookup import REPOSITORY

PULL_REQUEST = "touchstone.dev/pull-request"
"""Label of a run: the number of its pull request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One PipelineRun and how it stands."""

    name: str
    revision: str
    """Its param `revision`."""
    reason: str
    """Of its condition Succeeded; empty where it has none yet."""
    done: bool
    failed: bool


class Control(Protocol):
    """The embedded platform or a cluster."""

    def template(self, name: str) -> TemplateSpec:
        """The TriggerTemplate. Raises PlatformError where it is absent."""
        ...

    def runs(self, repository: str, pull_request: str) -> list[RunSummary]:
        """The runs of one pull request, newest first."""
        ...

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """Create a PipelineRun; False where there is one of that name already."""
        ...

    def cancel(self, name: str) -> bool:
        """Ask the run to end, `finally` included; False where it has ended."""
        ...

    def repeat(self, name: str) -> tuple[str, str]:
        """Run again what failed in the run; the new run's name, and how much of it runs, in words.

        Raises:
            TouchstoneError: there is nothing to repeat.
        """
        ...


def summary(manifest: Mapping[str, Any], status: Mapping[str, Any]) -> RunSummary:
    """How a PipelineRun stands, from the object and its status."""
    condition = record.written_condition(status) or {"status": "Unknown", "reason": ""}
    params = {param["name"]: param["value"] for param in manifest["spec"].get("params", [])}
    return RunSummary(
        name=manifest["metadata"]["name"],
        revision=str(params.get("revision", "")),
        reason=condition["reason"],
        done=condition["status"] != "Unknown",
        failed=condition["status"] == "False",
    )


def belongs(manifest: Mapping[str, Any], repository: str, pull_request: str) -> bool:
    """Whether the PipelineRun is one of that pull request."""
    metadata = manifest["metadata"]
    return bool(
        (metadata.get("annotations") or {}).get(REPOSITORY) == repository
        and (metadata.get("labels") or {}).get(PULL_REQUEST) == pull_request
    )
