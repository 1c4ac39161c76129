"""What one trigger makes of one event, step by step: its interceptors, its values, its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from touchstone.errors import TouchstoneError
from touchstone.events import bindings, templates
from touchstone.events.headers import joined
from touchstone.events.interceptors.interceptor import (
    ElsewhereError,
    Request,
    Secrets,
    StoppedError,
    UnwantedError,
)
from touchstone.events.triggers import Trigger, Triggers

Override: TypeAlias = str | Callable[[str], str]
"""What the installation says of a param, or makes of what the event says; ValueError for no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was looked at."""

    what: str
    """`interceptor signed-push (github)`, `param revision`, `PipelineRun model-1a2b3c`."""
    passed: bool
    notes: tuple[str, ...]
    """What was found; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a trigger fired, or why not."""

    trigger: str
    group: str
    reason: str
    """Why it did not fire, and at which step; empty where it did."""
    told: str
    """The same for whoever sent the event and knows of no steps."""
    elsewhere: bool
    """Whether the event is one for other triggers, and nothing has to be said of it here."""
    steps: tuple[Step, ...]
    objects: tuple[dict[str, Any], ...]
    """What it creates, `metadata.name` set; empty where it did not fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event as it reaches the triggers."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    url: str
    """Path and query, as on a cluster."""
    event_id: str
    """A UUID that follows from the event."""


def evaluate(
    listener: Triggers,
    trigger: Trigger,
    delivery: Delivery,
    *,
    secrets: Secrets,
    overrides: Mapping[str, Override],
) -> Explanation:
    """Send the event through the trigger; nothing is written and nothing raised.

    `overrides` are values of params in place of what the bindings say.
    """
    steps: list[Step] = []
    try:
        request = _intercepted(trigger, delivery, secrets, steps)
        params = _params(trigger, request, delivery, overrides, steps)
        objects = _objects(listener, trigger, delivery, params)
    except (StoppedError, TouchstoneError, ValueError) as error:
        stopped = steps and not steps[-1].passed and not isinstance(error, UnwantedError)
        return Explanation(
            trigger=trigger.name,
            group=trigger.group,
            reason=f"{steps[-1].what}: {error}" if stopped else str(error),
            told=_told(trigger, steps, error),
            elsewhere=isinstance(error, ElsewhereError),
            steps=tuple(steps),
            objects=(),
        )
    for made in objects:
        name = f"{made['kind']} {made['metadata']['name']}"
        steps.append(Step(what=name, passed=True, notes=("created",)))
    return Explanation(
        trigger=trigger.name,
        group=trigger.group,
        reason="",
        told="",
        elsewhere=False,
        steps=tuple(steps),
        objects=tuple(objects),
    )


def _told(trigger: Trigger, steps: list[Step], error: Exception) -> str:
    """What stopped the trigger; of an expression, which tells people little, only its name."""
    passed = sum(step.passed for step in steps)
    link = trigger.links[passed] if passed < len(trigger.links) else None
    if link is not None and link.interceptor.kind == "cel":
        return f"{trigger.name} starts something only where its filter {link.name} is met"
    return str(error)


def _intercepted(
    trigger: Trigger, delivery: Delivery, secrets: Secrets, steps: list[Step]
) -> Request:
    kind = "triggerGroups" if trigger.group else "triggers"
    request = Request(
        headers=delivery.headers,
        raw=delivery.body,
        url=delivery.url,
        event_id=delivery.event_id,
        trigger=f"namespaces/{trigger.namespace}/{kind}/{trigger.group or trigger.name}",
    )
    if trigger.links:
        request = request.with_form_as_json()
    for link in trigger.links:
        what = f"interceptor {link.name} ({link.interceptor.kind})"
        try:
            passed = link.interceptor.process(request, secrets)
        except StoppedError as error:
            steps.append(Step(what=what, passed=False, notes=error.notes))
            if type(error) is StoppedError and link.interceptor.secrets_used:
                raise ElsewhereError(str(error), notes=error.notes) from error  # not its sender
            raise
        steps.append(Step(what=what, passed=True, notes=passed.notes))
        request = replace(
            request,
            extensions={**request.extensions, **passed.extensions},
            raw=request.raw if passed.raw is None else passed.raw,
            headers=request.headers if passed.headers is None else passed.headers,
        )
    return request


def _params(
    trigger: Trigger,
    request: Request,
    delivery: Delivery,
    overrides: Mapping[str, Override],
    steps: list[Step],
) -> dict[str, str]:
    event = {
        "body": request.body,
        "header": joined(request.headers),
        "extensions": dict(request.extensions),
        "context": {"eventID": delivery.event_id},
    }
    params = dict(trigger.defaults)
    for name, value in trigger.bindings.items():
        if name in overrides:
            continue
        what = f"param {name}"
        try:
            params[name] = bindings.resolve(value, event, default=trigger.defaults.get(name))
        except ValueError as error:
            steps.append(Step(what=what, passed=False, notes=(value,)))
            raise ValueError(str(error)) from None
        steps.append(Step(what=what, passed=True, notes=(f"{value} is {params[name]}",)))
    for name in sorted(set(overrides) & ({*params, *trigger.bindings})):
        what, override = f"param {name}", overrides[name]
        try:
            text = override if isinstance(override, str) else override(_said(trigger, name, event))
        except ValueError as error:
            steps.append(Step(what=what, passed=False, notes=("of this installation",)))
            raise ValueError(str(error)) from None
        params[name] = bindings.pasted([text])
        steps.append(Step(what=what, passed=True, notes=("of this installation",)))
    return params


def _said(trigger: Trigger, name: str, event: Mapping[str, Any]) -> str:
    """What the event says of a param; empty where it says nothing."""
    default = trigger.defaults.get(name, "")
    return bindings.resolve(trigger.bindings.get(name, default), event, default=default)


def _objects(
    listener: Triggers, trigger: Trigger, delivery: Delivery, params: Mapping[str, str]
) -> list[dict[str, Any]]:
    objects = templates.render(
        trigger.resources,
        params,
        seed=f"{delivery.event_id}/{trigger.name}",
        old_escape=trigger.old_escape,
    )
    for made in objects:
        if trigger.namespace != listener.namespace:
            made["metadata"].setdefault("namespace", trigger.namespace)
        # The labels that Tekton Triggers itself puts on what it creates.
        made["metadata"].setdefault("labels", {}).update(
            {
                "triggers.tekton.dev/eventlistener": listener.name,
                "triggers.tekton.dev/trigger": trigger.name,
                "triggers.tekton.dev/triggers-eventid": delivery.event_id,
            }
        )
    return objects
