"""Knative's PingSource without a cluster: the same YAML fires the same CloudEvent into a listener.

An event is known by its source and the moment that it was due, so a moment fires once however often
the platform is killed around it. What fell due while nothing ran fires once at the next start, the
newest moment of each schedule for all; a cluster's PingSource lets them pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from touchstone.documents.kubectl import load_files
from touchstone.documents.naming import check_metadata
from touchstone.documents.problems import Field as Cursor
from touchstone.documents.yaml import Document
from touchstone.errors import ManifestError
from touchstone.events import inside
from touchstone.events.kinds import Metadata, Model
from touchstone.events.rules import parsed
from touchstone.events.trigger_catalog import DEFAULT_NAMESPACE
from touchstone.runs import faults
from touchstone.runs.store import State

EVENT_TYPE = "dev.knative.sources.ping"
"""PingSource's own type, which its YAML cannot change."""

_API = "sources.knative.dev/v1"
_SERVICE = "el-"
"""Tekton's prefix of an EventListener's Service."""
_NAMES = r"(?:[A-Za-z]{3}|\d+|\*|\?)"
_FIELD = rf"{_NAMES}(?:-(?:[A-Za-z]{{3}}|\d+))?(?:/\d+)?"
_FIELDS = re.compile(rf"(?:{_FIELD}(?:,{_FIELD})*\s+){{4,5}}{_FIELD}(?:,{_FIELD})*")
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


class _Reference(Model):
    kind: Literal["Service"]
    name: str = Field(pattern=f"^{_SERVICE}.")
    api_version: Literal["v1"]
    namespace: str = ""


class _Sink(Model):
    ref: _Reference


class _Overrides(Model):
    extensions: dict[str, str] = {}


class PingSpec(Model):
    """What of a PingSource has a meaning here; anything else is refused."""

    schedule: str = "* * * * *"
    timezone: str = "Etc/UTC"
    content_type: Literal["application/json"]
    data: str
    sink: _Sink
    ce_overrides: _Overrides = _Overrides()

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        from croniter import CroniterError, croniter

        # croniter takes more than the cluster's parser does, such as L, # and H.
        if value in _DESCRIPTORS or _FIELDS.fullmatch(value.strip()):
            try:
                croniter(value, second_at_beginning=True).get_next()
            except CroniterError as error:
                raise ValueError(f"got {value!r}, expected a moment that comes: {error}") from None
            return value
        raise ValueError(
            f"got {value!r}, expected five or six fields (seconds first) or one of"
            f" {', '.join(_DESCRIPTORS)}"
        )

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, KeyError, OSError):
            raise ValueError(f"got {value!r}, expected a name such as Europe/Berlin") from None
        return value

    @field_validator("data")
    @classmethod
    def _object(cls, value: str) -> str:
        try:
            parsed = json.loads(value)
        except ValueError as error:
            raise ValueError(f"got data that is not JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise ValueError(f"got data that is a {type(parsed).__name__}, expected an object")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One PingSource."""

    name: str
    namespace: str
    spec: PingSpec

    @property
    def listener(self) -> str:
        """The EventListener that its events go to."""
        return self.spec.sink.ref.name.removeprefix(_SERVICE)

    @property
    def source(self) -> str:
        """As Knative writes it."""
        return f"/apis/v1/namespaces/{self.namespace}/pingsources/{self.name}"

    def due(self, after: float, now: float) -> float | None:
        """The newest moment in (after, now] at which it fires, in epoch seconds, or None."""
        from croniter import croniter

        zone = ZoneInfo(self.spec.timezone)
        # get_prev leaves out its own start; a second later it does not.
        start = datetime.fromtimestamp(int(now) + 1, zone)
        moment: float = croniter(
            self.spec.schedule, start, ret_type=float, second_at_beginning=True
        ).get_prev()
        return moment if moment > after else None


class Schedules:
    """Fires what is due into a State; `tick` as often as a schedule may fire."""

    def __init__(self, state: State, schedules: Sequence[Schedule]) -> None:
        self._state = state
        self._schedules = tuple(schedules)

    def tick(self, now: float) -> int:
        """Store an event for each schedule that fell due since the last tick; how many.

        Raises the first failure, once every schedule had its turn; the next tick fires what is due.
        """
        return sum(faults.each(lambda schedule: self._fire(schedule, now), self._schedules))

    def _fire(self, schedule: Schedule, now: float) -> bool:
        key = f"schedule {schedule.source}"
        last = self._state.setting(key)
        if last is None:  # seen for the first time: the past is not due
            self._state.set_setting(key, str(now))
            return False
        moment = schedule.due(float(last), now)
        if moment is None:
            return False
        stored = self._store(schedule, moment)
        # After the event: a kill in between fires the moment again, which is then known.
        self._state.set_setting(key, str(moment))
        return stored

    def _store(self, schedule: Schedule, moment: float) -> bool:
        when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "content-type": schedule.spec.content_type,
            "ce-specversion": "1.0",
            "ce-type": EVENT_TYPE,
            "ce-source": schedule.source,
            "ce-id": when,
            "ce-time": when,
            **{f"ce-{name}": text for name, text in schedule.spec.ce_overrides.extensions.items()},
        }
        body = schedule.spec.data.encode()
        return inside.put(self._state, headers, body, listener=schedule.listener)


def load_schedules(paths: Sequence[Path], *, listeners: Sequence[str]) -> tuple[Schedule, ...]:
    """The PingSources of the files and folders; other documents are left alone.

    Raises:
        ManifestError: a PingSource is wrong, a name is there twice, or a sink is none of
            `listeners`. The message begins with file:line:column.
    """
    found: dict[str, Schedule] = {}
    for document in load_files(paths):
        if (document.body.get("apiVersion"), document.kind) != (_API, "PingSource"):
            continue
        schedule = _schedule(document)
        if schedule.source in found:
            raise ManifestError(
                f"got a second PingSource {schedule.name!r}, expected one",
                location=document.location(("metadata", "name")),
            )
        if schedule.listener not in listeners:
            raise ManifestError(
                f"got the sink {schedule.spec.sink.ref.name!r}, expected one of"
                f" {sorted(_SERVICE + name for name in listeners)}",
                location=document.location(("spec", "sink", "ref", "name")),
            )
        found[schedule.source] = schedule
    return tuple(found.values())


def _schedule(document: Document) -> Schedule:
    field = Cursor(document, [], document.body)
    metadata: Metadata = parsed(field.at("metadata"), Metadata)
    spec: PingSpec = parsed(field.at("spec"), PingSpec)
    if not field.problems:
        check_metadata(field)
    if field.problems:
        raise field.problems[0].error()
    return Schedule(
        name=metadata.name, namespace=metadata.namespace or DEFAULT_NAMESPACE, spec=spec
    )
