"""What do Prometheus and whoever is on call learn of the runs? See docs/reference/metrics.md."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from touchstone.cluster.records import Record
from touchstone.runs import record, said
from touchstone.runs.lookup import model_of
from touchstone.runs.view import refused

_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
_PROMOTES = "promote"
"""The stage that promotes."""

OUTCOMES = ("succeeded", "refused", "cancelled", "timeout", "failed")
"""How a run can end; `refused` is by a gate."""

TASK = "tekton.dev/pipelineTask"
"""Tekton's label of a TaskRun: which task of the pipeline it is."""


class Metrics:
    """Of one recorder; a restart begins at 0, and counts no run again that it had recorded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._runs = self._counter(
            "touchstone_runs", "Runs that ended.", "namespace", "model", "outcome"
        )
        self._run_seconds = self._histogram(
            "touchstone_run_duration_seconds", "From creation to end.", "namespace", "outcome"
        )
        self._stage_seconds = self._histogram(
            "touchstone_stage_duration_seconds",
            "From the start of a stage's TaskRun to its end.",
            *("namespace", "stage", "outcome"),
        )
        self._gates = self._counter(
            "touchstone_gate_outcomes",
            "Verdicts of single gates: passed, failed or insufficient evidence.",
            *("namespace", "model", "gate", "outcome"),
        )
        self._promotions = self._counter(
            "touchstone_promotions", "Releases put up for review.", "namespace", "model"
        )
        self._unfinished = self._gauge(
            "touchstone_runs_unfinished",
            "Runs that have not ended, waiting or running.",
            *("namespace", "state"),
        )
        self._oldest = self._gauge(
            "touchstone_run_oldest_unfinished_seconds",
            "Age of the oldest run that has not ended; 0 where there is none.",
            *("namespace",),
        )
        self.log_bytes = self._counter(
            "touchstone_recorder_log_bytes", "Bytes of logs that were stored.", "namespace"
        )
        self.errors = self._counter(
            "touchstone_recorder_errors",
            "What failed, and is tried again: api, store or traces.",
            *("namespace", "what"),
        )
        self.unsaved = self._gauge(
            "touchstone_recorder_unsaved_runs",
            "Runs that ended and are not stored yet.",
            *("namespace",),
        )
        self.heard = self._gauge(
            "touchstone_recorder_last_contact_timestamp_seconds",
            "When the Kubernetes API was last heard, since the epoch.",
            *("namespace",),
        )

    def text(self) -> bytes:
        """As Prometheus reads it."""
        found: bytes = generate_latest(self.registry)
        return found

    def ended(self, namespace: str, kept: Record) -> None:
        """Count a run that has ended, with its stages."""
        run = kept.run
        status = run.get("status") or {}
        model, how = model_of(run), outcome(kept)
        self._runs.labels(namespace, model, how).inc()
        created = {"startTime": run["metadata"].get("creationTimestamp"), **_end(status)}
        if (seconds := record.seconds(created)) is not None:
            self._run_seconds.labels(namespace, how).observe(seconds)
        for item in kept.task_runs.values():
            self._stage(namespace, model, item)

    def _stage(self, namespace: str, model: str, item: Mapping[str, Any]) -> None:
        status = item.get("status") or {}
        metadata = item["metadata"]
        stage = (metadata.get("labels") or {}).get(TASK) or metadata.get("generateName", "").rstrip(
            "-"
        )
        how = _outcome_of(status)
        if (seconds := record.seconds(status)) is not None:
            self._stage_seconds.labels(namespace, stage, how).observe(seconds)
        if found := said.outcome_of(status):
            self._gates.labels(namespace, model, stage, found).inc()
        if stage == _PROMOTES and how == "succeeded":
            self._promotions.labels(namespace, model).inc()

    def unfinished(self, namespace: str, runs: list[Mapping[str, Any]]) -> None:
        """Set what is to be said of the runs that have not ended."""
        waiting = sum(not (run.get("status") or {}).get("startTime") for run in runs)
        self._unfinished.labels(namespace, "waiting").set(waiting)
        self._unfinished.labels(namespace, "running").set(len(runs) - waiting)
        starts = [{"startTime": run["metadata"].get("creationTimestamp")} for run in runs]
        for run in runs:
            # At 0 before it ends: of a counter that begins with 1 Prometheus sees no increase.
            for how in OUTCOMES:
                self._runs.labels(namespace, model_of(run), how)
            self._stage_seconds.labels(namespace, _PROMOTES, "failed")
        ages = [record.seconds(one, until=time.time()) or 0.0 for one in starts]
        self._oldest.labels(namespace).set(max(ages, default=0.0))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self.registry)


def outcome(kept: Record) -> str:
    """How the run ended: succeeded, refused (by a gate), cancelled, timeout or failed."""
    if any(refused(item.get("status") or {}) for item in kept.task_runs.values()):
        return "refused"
    return _outcome_of(kept.run.get("status") or {})


def _outcome_of(status: Mapping[str, Any]) -> str:
    condition = record.succeeded_condition(status)
    if condition["status"] == "True":
        return "succeeded"
    reason = str(condition["reason"])
    if "Timeout" in reason or "TimedOut" in reason:
        return "timeout"
    if "Cancel" in reason or "Stopped" in reason or condition["status"] == "Unknown":
        return "cancelled"
    return "refused" if refused(status) else "failed"


def _end(status: Mapping[str, Any]) -> dict[str, Any]:
    return {"completionTime": status["completionTime"]} if status.get("completionTime") else {}
