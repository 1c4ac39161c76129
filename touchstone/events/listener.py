"""What one stored event leads to: the runs to create, and a sentence for each trigger."""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.errors import ManifestError
from touchstone.events import credentials
from touchstone.events.evaluate import Delivery, Explanation, Override, evaluate
from touchstone.events.interceptors.interceptor import Secrets
from touchstone.events.outcome import details, relevant, sentence
from touchstone.events.triggers import Triggers
from touchstone.runs import faults
from touchstone.runs.store import Event, State

_log = logging.getLogger(__name__)
_NAMESPACE = uuid.UUID("6f0d3c1e-1f0a-5d0e-9b7b-3f0f5c3f6a11")

PATH = ":path"
"""Among a stored event's headers: path and query that it was sent to."""
LISTENER = ":listener"
"""Among a stored event's headers: the EventListener it was sent to."""

_CREATED = (("tekton.dev/v1", "PipelineRun"), ("tekton.dev/v1", "TaskRun"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """The result of one event."""

    outcome: str
    """One sentence for each trigger that the event is for, separated by semicolons."""
    summary: str
    """One sentence for all."""
    runs: tuple[dict[str, Any], ...]
    """PipelineRuns and TaskRuns with `metadata.name` set."""


class Listener:
    """The embedded EventListeners over one State.

    `triggers` is the one that webhooks reach at `/`; those of `also` answer at `/<name>`. Those of
    `inside` have no address: only this process puts events before them, as its schedules do.
    `overrides` replaces binding values by param name: what the installation alone knows
    (`gitops-url`, `image-registry`), which a kustomize overlay replaces on a cluster.

    Raises:
        ManifestError: an override names a param that no binding and no default gives, or a
            template creates a kind that the embedded platform does not have.
    """

    def __init__(
        self,
        state: State,
        *,
        triggers: Triggers,
        secrets: Secrets,
        also: Sequence[Triggers] = (),
        inside: Sequence[Triggers] = (),
        overrides: Mapping[str, Override] | None = None,
    ) -> None:
        self.state = state
        self.triggers = triggers
        self.reachable = {item.name: item for item in (triggers, *also)}
        self.inside = tuple(item.name for item in inside)
        self.listeners = self.reachable | {item.name: item for item in inside}
        self.secrets = secrets
        self.overrides = dict(overrides or {})
        all_triggers = [trigger for item in self.listeners.values() for trigger in item.triggers]
        known = {
            name for trigger in all_triggers for name in (*trigger.bindings, *trigger.defaults)
        }
        if unknown := sorted(set(self.overrides) - known):
            raise ManifestError(
                f"got an override for the param {unknown[0]!r}, expected one of {sorted(known)}",
                hint="the params are listed in tekton/triggers/bindings.yaml",
            )
        for trigger in all_triggers:
            for resource in trigger.resources:
                if (resource["apiVersion"], resource["kind"]) not in _CREATED:
                    raise ManifestError(
                        f"trigger {trigger.name}: got {resource['apiVersion']} {resource['kind']},"
                        " expected a tekton.dev/v1 PipelineRun or TaskRun",
                        hint="the embedded platform has no API server that could keep others;"
                        " `touchstone trigger` shows what a cluster would create",
                    )

    def process_pending(self) -> list[str]:
        """Process every stored event; return the names of the runs created.

        An event and its runs are written in one transaction, and names follow from the event: a
        kill before it processes the event again to the same names, a kill after it leaves nothing
        to do. An event that breaks something ends as failed and says why; the next has its turn.

        Raises:
            Exception: the machine lacks something (touchstone.runs.faults.passing): the events that
                met it stay stored for the next call.
        """
        made = faults.each(self._finish, self.state.pending_events())
        return [name for names in made for name in names]

    def _finish(self, event: Event) -> list[str]:
        try:
            result = self.process(event)
            try:
                self.state.finish_event(
                    event.id, outcome=result.outcome, summary=result.summary, runs=result.runs
                )
            except sqlite3.IntegrityError:
                names = ", ".join(run["metadata"]["name"] for run in result.runs)
                raise ValueError(
                    f"got the name of a run that exists already, one of {names}, expected new"
                    " ones: metadata.generateName makes them"
                ) from None
        except Exception as error:
            if faults.passing(error):
                raise
            _log.exception("event %s failed", event.event_id)
            failed = f"failed: {faults.words(error)}"
            result = Processed(outcome=failed, summary=failed, runs=())
            self.state.finish_event(event.id, outcome=failed, summary=failed)
        _log.info("event %s: %s", event.event_id, result.outcome)
        return [run["metadata"]["name"] for run in result.runs]

    def process(self, event: Event) -> Processed:
        """What the event leads to; nothing is written.

        Raises:
            ValueError: the stored body is not a JSON object.
        """
        outcomes = relevant(self.explain(event))
        return Processed(
            outcome=details(outcomes),
            summary=sentence(outcomes),
            runs=tuple(run for one in outcomes for run in one.runs),
        )

    def explain(self, event: Event) -> list[Explanation]:
        """What each trigger makes of the event, step by step; nothing is written.

        Raises:
            ValueError: the stored body is not a JSON object, or its listener is gone.
        """
        listener = self.listeners.get(event.headers.get(LISTENER, self.triggers.name))
        if listener is None:
            raise ValueError(
                f"got an event for the EventListener {event.headers[LISTENER]!r},"
                f" expected one of {sorted(self.listeners)}"
            )
        if not listener.forms and not isinstance(body := json.loads(event.body), dict):
            raise ValueError(f"got a {type(body).__name__}, expected a JSON object as body")
        delivery = Delivery(
            headers=credentials.unseal(event.headers, self.secrets),
            body=event.body,
            url=event.headers.get(PATH, "/"),
            event_id=event_uuid(event.source, event.event_id),
        )
        return [
            evaluate(listener, trigger, delivery, secrets=self.secrets, overrides=self.overrides)
            for trigger in listener.triggers
        ]


def event_uuid(source: str, identity: str) -> str:
    """Tekton's eventID, the same for the same event."""
    return str(uuid.uuid5(_NAMESPACE, f"{source} {identity}"))
