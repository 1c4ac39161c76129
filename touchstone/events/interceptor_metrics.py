"""What does Prometheus learn of deliveries? How triggers took them, by forge and outcome.

A delivery is shown to every trigger, so that one push counts once for each of them: `elsewhere` for
those that are for other events. See docs/reference/metrics.md.
"""

from __future__ import annotations

from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from touchstone.events.interceptors.senders import SENDERS

STARTED, IGNORED, ELSEWHERE = "started", "ignored", "elsewhere"
REFUSED, INVALID = "refused", "invalid"
OUTCOMES = (STARTED, IGNORED, ELSEWHERE, REFUSED, INVALID)
"""Passed on; starts nothing; is for other triggers; proves nothing; cannot be read."""

UNKNOWN = "unknown"
"""The forge of what speaks as none."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Of one interceptor; a restart begins at 0."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._deliveries = Counter(
            "touchstone_interceptor_deliveries",
            "Deliveries as each trigger took them.",
            ("forge", "outcome"),
            registry=self.registry,
        )
        forges = {sender.name for sender in SENDERS} | {UNKNOWN}
        for labels in product(sorted(forges), OUTCOMES):
            # At 0 from the beginning: of a counter that begins with 1 Prometheus sees no increase.
            self._deliveries.labels(*labels)
        self._seconds = Histogram(
            "touchstone_interceptor_duration_seconds",
            "From the delivery's last byte to the answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def answered(self, forge: str, outcome: str, seconds: float) -> None:
        """Count one delivery at one trigger.

        Args:
            forge: as people.yaml calls it, or UNKNOWN.
            outcome: one of OUTCOMES.
        """
        self._deliveries.labels(forge, outcome).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        found: bytes = generate_latest(self.registry)
        return found
