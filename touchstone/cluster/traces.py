"""How does a run look as a trace? A span for the run, below it one for each TaskRun and step.

A run is below the span that Tekton's annotation names, and so are Tekton's own spans, where its
tracing is on. For an event that came without a trace nobody has sent that span: it is sent here,
with what the EventListener made of the event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from touchstone.cluster.metrics import TASK, outcome
from touchstone.cluster.records import EVENT, Record
from touchstone.runs import otlp, record, said
from touchstone.runs.lookup import BRANCH, REPOSITORY, annotations_of, commit_of, model_of
from touchstone.runs.otlp import Above, Span

CONTEXTS = {
    "PipelineRun": "tekton.dev/pipelinerunSpanContext",
    "TaskRun": "tekton.dev/taskrunSpanContext",
}
"""Tekton's annotation of each kind: JSON with the `traceparent` that its spans are below."""

MADE_OF = "triggers.tekton.dev/triggers-eventid"
"""Label of what an EventListener made itself."""


def spans(namespace: str, kept: Record) -> list[Span]:
    """The run's spans, parents before children; what has no beginning or end is left out."""
    run = kept.run
    metadata, annotations = run["metadata"], annotations_of(run)
    event, above = annotations.get(EVENT, ""), _above(run)
    own = otlp.identity("run", metadata.get("uid") or metadata["name"])
    about = {
        "k8s.namespace.name": namespace,
        "touchstone.run": metadata["name"],
        "touchstone.outcome": outcome(kept),
        "touchstone.model": model_of(run),
        "touchstone.branch": annotations.get(BRANCH, ""),
        "touchstone.commit": commit_of(run),
        "touchstone.event": event,
    }
    created, status = metadata.get("creationTimestamp"), run.get("status") or {}
    found = []
    made = MADE_OF in (metadata.get("labels") or {})
    if made and event and Above.read(otlp.of_event(event)) == above:
        source = {
            "touchstone.event": event,
            "touchstone.repository": annotations.get(REPOSITORY, ""),
        }
        first = Above(above.trace, "")
        moment = (created, created)
        found += _span("event", above.parent, first, moment, source, {}, kind=otlp.SERVER)
    times = (created, status.get("completionTime"))
    found += _span(f"{run['kind']} {_first_name(run)}", own, above, times, about, status)
    for item in kept.task_runs.values():
        found += _stage(Above(above.trace, own), item)
    return found


def _stage(above: Above, item: Mapping[str, Any]) -> list[Span]:
    metadata, status = item["metadata"], item.get("status") or {}
    uid = metadata.get("uid") or metadata["name"]
    own = otlp.identity("taskrun", uid)
    stage = (metadata.get("labels") or {}).get(TASK) or metadata["name"]
    about = {
        "touchstone.stage": stage,
        "touchstone.taskrun": metadata["name"],
        "touchstone.gate.outcome": said.outcome_of(status),
        "k8s.pod.name": str(status.get("podName", "")),
    }
    times = (status.get("startTime"), status.get("completionTime"))
    found = _span(stage, own, above, times, about, status)
    for step in status.get("steps") or []:
        ended = step.get("terminated") or {}
        code = ended.get("exitCode", 0)
        passed = {"conditions": [record.condition("True" if not code else "False", "", "")]}
        found += _span(
            f"{stage}/{step['name']}",
            otlp.identity("step", uid, step["name"]),
            Above(above.trace, own),
            (ended.get("startedAt"), ended.get("finishedAt")),
            {"touchstone.step": step["name"], "touchstone.exit_code": str(code)},
            passed,
        )
    return found


def _span(
    name: str,
    own: str,
    above: Above,
    times: tuple[str | None, str | None],
    about: Mapping[str, str],
    status: Mapping[str, Any],
    *,
    kind: int = otlp.INTERNAL,
) -> list[Span]:
    began, ended = times
    if not began or not ended:
        return []
    condition = record.succeeded_condition(status)
    failure = str(condition["message"]) if condition["status"] == "False" else None
    seconds = (_seconds(began), _seconds(ended))
    return [otlp.span(name, own, above, seconds, about, kind=kind, failure=failure)]


def _above(run: Mapping[str, Any]) -> Above:
    """The trace of a run, and the span that it is below; no span where nobody says one."""
    annotations, metadata = annotations_of(run), run["metadata"]
    try:
        given = str(json.loads(annotations.get(CONTEXTS[run["kind"]], "{}")).get("traceparent", ""))
    except (ValueError, AttributeError):
        given = ""
    if event := annotations.get(EVENT, ""):
        given = otlp.of_event(event, given)
    alone = metadata.get("uid") or metadata["name"]
    return Above.read(given) or Above(otlp.identity("trace", alone, size=16), "")


def _first_name(run: Mapping[str, Any]) -> str:
    """A name that many runs share."""
    metadata, spec = run["metadata"], run.get("spec") or {}
    reference = spec.get("pipelineRef") or spec.get("taskRef") or {}
    return str(reference.get("name") or metadata.get("generateName", "").rstrip("-") or "run")


def _seconds(when: str) -> float:
    return datetime.fromisoformat(when).timestamp()
