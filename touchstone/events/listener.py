"""What one stored event leads to: the runs to create, and a sentence for each trigger."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.errors import ManifestError, TouchstoneError
from touchstone.events import bindings, templates
from touchstone.events.cel import canonical_header
from touchstone.events.interceptors import GitHub, Request, Secrets, StoppedError
from touchstone.events.triggers import Trigger, Triggers
from touchstone.state import Event, State

_log = logging.getLogger(__name__)
_NAMESPACE = uuid.UUID("6f0d3c1e-1f0a-5d0e-9b7b-3f0f5c3f6a11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """The result of one event."""

    outcome: str
    """One sentence for each trigger, separated by semicolons."""
    runs: tuple[dict[str, Any], ...]
    """PipelineRuns and TaskRuns with `metadata.name` set."""


class Listener:
    """The embedded EventListener over one State.

    `overrides` replaces binding values by param name: what the installation alone knows
    (`gitops-url`, `image-registry`), which a kustomize overlay replaces on a cluster.

    Raises:
        ManifestError: an override names a param that no binding and no default gives.
    """

    def __init__(
        self,
        state: State,
        *,
        triggers: Triggers,
        secrets: Secrets,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self.state = state
        self.triggers = triggers
        self.secrets = secrets
        self.overrides = dict(overrides or {})
        known = {
            name for trigger in triggers.triggers for name in (*trigger.bindings, *trigger.defaults)
        }
        if unknown := sorted(set(self.overrides) - known):
            raise ManifestError(
                f"got an override for the param {unknown[0]!r}, expected one of {sorted(known)}",
                hint="the params are listed in tekton/triggers/bindings.yaml",
            )

    def github_interceptors(self) -> list[GitHub]:
        """The github interceptors of all triggers: their secrets and event types."""
        return [
            interceptor
            for trigger in self.triggers.triggers
            for interceptor in trigger.interceptors
            if isinstance(interceptor, GitHub)
        ]

    def takes_unsigned(self) -> bool:
        """Whether a trigger without the github interceptor could take a CloudEvent."""
        return any(
            not any(isinstance(interceptor, GitHub) for interceptor in trigger.interceptors)
            for trigger in self.triggers.triggers
        )

    def process_pending(self) -> list[str]:
        """Process every stored event; return the names of the runs created.

        An event and its runs are written in one transaction, and names follow from the event: a
        kill before it processes the event again to the same names, a kill after it leaves nothing
        to do.
        """
        names: list[str] = []
        for event in self.state.pending_events():
            try:
                result = self.process(event)
            except Exception as error:  # an event that breaks the listener must not stop the queue
                _log.exception("event %s failed", event.event_id)
                result = Processed(outcome=f"failed: {error}", runs=())
            self.state.finish_event(event.id, outcome=result.outcome, runs=result.runs)
            _log.info("event %s: %s", event.event_id, result.outcome)
            names += [run["metadata"]["name"] for run in result.runs]
        return names

    def process(self, event: Event) -> Processed:
        """What the event leads to; nothing is written.

        Raises:
            ValueError: the stored body is not a JSON object.
        """
        body = json.loads(event.body)
        if not isinstance(body, dict):
            raise ValueError(f"got a {type(body).__name__}, expected a JSON object as body")
        outcomes: list[str] = []
        runs: list[dict[str, Any]] = []
        for trigger in self.triggers.triggers:
            try:
                created = self._run(trigger, event, body)
            except (StoppedError, TouchstoneError, ValueError) as error:
                outcomes.append(f"{trigger.name}: nothing started, {error}")
                continue
            runs += created
            made = ", ".join(f"{run['kind']} {run['metadata']['name']}" for run in created)
            outcomes.append(f"{trigger.name}: created {made}")
        return Processed(outcome="; ".join(outcomes), runs=tuple(runs))

    def _run(self, trigger: Trigger, event: Event, body: dict[str, Any]) -> list[dict[str, Any]]:
        request = Request(headers=event.headers, raw=event.body, body=body, url="/", extensions={})
        for interceptor in trigger.interceptors:
            request.extensions.update(interceptor.process(request, self.secrets))
        event_id = str(uuid.uuid5(_NAMESPACE, f"{event.source} {event.event_id}"))
        values = {
            "body": body,
            "header": {canonical_header(name): value for name, value in event.headers.items()},
            "extensions": request.extensions,
            "context": {"eventID": event_id},
        }
        wanted = {
            name: value
            for name, value in {**trigger.defaults, **trigger.bindings}.items()
            if name not in self.overrides
        }
        params = {name: bindings.resolve(value, values) for name, value in wanted.items()}
        runs = templates.render(
            trigger.resources, params | self.overrides, seed=f"{event_id}/{trigger.name}"
        )
        for run in runs:
            # The labels that Tekton Triggers itself puts on what it creates.
            run["metadata"].setdefault("labels", {}).update(
                {
                    "triggers.tekton.dev/eventlistener": self.triggers.name,
                    "triggers.tekton.dev/trigger": trigger.name,
                    "triggers.tekton.dev/triggers-eventid": event_id,
                }
            )
        return runs
