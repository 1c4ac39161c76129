"""How does a run look as a trace? A span for the run, below it one for each TaskRun and step.

Spans go out by OTLP over HTTP, as JSON, once the run has ended. Ids follow from the objects, so
that what is sent twice is the same span. Runs of one event share a trace: it is that of the W3C
`traceparent` which Tekton's annotation holds, else it follows from the event's id.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote

from touchstone.cluster.connect import Json
from touchstone.cluster.metrics import TASK, outcome
from touchstone.cluster.records import EVENT, Record
from touchstone.errors import PlatformError
from touchstone.runs import record, said
from touchstone.runs.lookup import BRANCH, annotations_of, commit_of, model_of

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_OF_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_NAME = "OTEL_SERVICE_NAME"
_CONTEXT = "tekton.dev/pipelinerunSpanContext"
"""Tekton's annotation: JSON with the `traceparent` that a run's spans are below."""

_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_INTERNAL, _OK, _ERROR = 1, 1, 2
"""Of OTLP: a kind of span, and two codes of a status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Where spans go, as the variables of OpenTelemetry say."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = "touchstone"

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Exporter | None:
        """None where no variable names an endpoint."""
        url = environment.get(_OF_TRACES, "")
        if not url and (base := environment.get(ENDPOINT, "")):
            url = base.rstrip("/") + "/v1/traces"
        given = [one.partition("=") for one in environment.get(_HEADERS, "").split(",") if one]
        headers = {name.strip(): unquote(value.strip()) for name, _, value in given}
        name = environment.get(_NAME) or "touchstone"
        return cls(url=url, headers=headers, service=name) if url else None

    def send(self, namespace: str, kept: Record) -> None:
        """Send the spans of a run that ended. Raises PlatformError where nobody takes them."""
        import httpx

        document = {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes({"service.name": self.service})},
                    "scopeSpans": [
                        {
                            "scope": {"name": "touchstone", "version": version("touchstone")},
                            "spans": spans(namespace, kept),
                        }
                    ],
                }
            ]
        }
        try:
            answer = httpx.post(self.url, json=document, headers=dict(self.headers), timeout=10)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PlatformError(
                f"{self.url} cannot be reached: {type(error).__name__}",
                hint=f"{ENDPOINT} names a collector that speaks OTLP over HTTP, port 4318",
            ) from None
        if not answer.is_success:
            raise PlatformError(
                f"{self.url} answered {answer.status_code} to the spans of a run, expected 2xx"
            )


def spans(namespace: str, kept: Record) -> list[Json]:
    """The run's spans, parents before children; what has no beginning or end is left out."""
    run = kept.run
    trace, parent = _above(run)
    uid = run["metadata"].get("uid") or run["metadata"]["name"]
    status = run.get("status") or {}
    own = _id("span", uid)
    about = {
        "k8s.namespace.name": namespace,
        "touchstone.run": run["metadata"]["name"],
        "touchstone.outcome": outcome(kept),
        "touchstone.model": model_of(run),
        "touchstone.branch": annotations_of(run).get(BRANCH, ""),
        "touchstone.commit": commit_of(run),
        "touchstone.event": annotations_of(run).get(EVENT, ""),
    }
    found = [
        _span(
            (trace, own, parent),
            f"{run['kind']} {_first_name(run)}",
            (run["metadata"].get("creationTimestamp"), status.get("completionTime")),
            about,
            status,
        )
    ]
    for item in kept.task_runs.values():
        found += _stage(trace, own, item)
    return [one for one in found if one is not None]


def _stage(trace: str, parent: str, item: Mapping[str, Any]) -> list[Json | None]:
    metadata, status = item["metadata"], item.get("status") or {}
    uid = metadata.get("uid") or metadata["name"]
    own = _id("taskrun", uid)
    stage = (metadata.get("labels") or {}).get(TASK) or metadata["name"]
    about = {
        "touchstone.stage": stage,
        "touchstone.taskrun": metadata["name"],
        "touchstone.gate.outcome": said.outcome_of(status),
        "k8s.pod.name": str(status.get("podName", "")),
    }
    times = (status.get("startTime"), status.get("completionTime"))
    found = [_span((trace, own, parent), stage, times, about, status)]
    for step in status.get("steps") or []:
        ended = step.get("terminated") or {}
        code = ended.get("exitCode", 0)
        passed = {"conditions": [record.condition("True" if not code else "False", "", "")]}
        found.append(
            _span(
                (trace, _id("step", uid, step["name"]), own),
                f"{stage}/{step['name']}",
                (ended.get("startedAt"), ended.get("finishedAt")),
                {"touchstone.step": step["name"], "touchstone.exit_code": str(code)},
                passed,
            )
        )
    return found


def _span(
    ids: tuple[str, str, str],
    name: str,
    times: tuple[str | None, str | None],
    about: Mapping[str, str],
    status: Mapping[str, Any],
) -> Json | None:
    if not all(times):
        return None
    condition = record.succeeded_condition(status)
    failed = condition["status"] == "False"
    trace, own, parent = ids
    return {
        "traceId": trace,
        "spanId": own,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanoseconds(times[0]),
        "endTimeUnixNano": _nanoseconds(times[1]),
        "attributes": _attributes(about),
        "status": {
            "code": _ERROR if failed else _OK,
            **({"message": condition["message"]} if failed else {}),
        },
    }


def _above(run: Mapping[str, Any]) -> tuple[str, str]:
    """The trace of a run, and the span that it is below; no span where nobody says one."""
    annotations = annotations_of(run)
    try:
        given = json.loads(annotations.get(_CONTEXT, "{}"))
        match = _PARENT.fullmatch(str(given.get("traceparent", "")))
    except (ValueError, AttributeError):
        match = None
    if match:
        return match[1], match[2]
    metadata = run["metadata"]
    named = annotations.get(EVENT) or metadata.get("uid") or metadata["name"]
    return _id("trace", named, size=16), ""


def _first_name(run: Mapping[str, Any]) -> str:
    """A name that many runs share."""
    metadata, spec = run["metadata"], run.get("spec") or {}
    reference = spec.get("pipelineRef") or spec.get("taskRef") or {}
    return str(reference.get("name") or metadata.get("generateName", "").rstrip("-") or "run")


def _id(*of: str, size: int = 8) -> str:
    return hashlib.sha256("\0".join(of).encode()).digest()[:size].hex()


def _nanoseconds(when: str | None) -> str:
    return str(int(datetime.fromisoformat(when or "").timestamp() * 1e9))


def _attributes(found: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": {"stringValue": text}} for key, text in found.items() if text]
