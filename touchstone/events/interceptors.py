"""The interceptors `github` and `cel`: which events go on, and what is added to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from touchstone.events import cel, signature

Secrets = Callable[[str, str], bytes]
"""(Secret's name, key) to its value; raises touchstone.errors.PlatformError where it is absent."""


class StoppedError(Exception):
    """The interceptor lets the event go no further; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One event on its way through a trigger."""

    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    body: dict[str, Any]
    url: str
    extensions: dict[str, Any]

    def context(self) -> dict[str, Any]:
        """CEL's variables."""
        return {
            "body": self.body,
            "header": {cel.canonical_header(name): [v] for name, v in self.headers.items()},
            "requestURL": self.url,
            "extensions": self.extensions,
        }


class Interceptor(Protocol):
    """One link of a trigger's chain."""

    def process(self, request: Request, secrets: Secrets) -> dict[str, Any]:
        """Extensions to add to the event.

        Raises:
            StoppedError: the event is not for this trigger.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """Signed by the shared secret, and one of the wanted event types."""

    PARAMS: ClassVar[frozenset[str]] = frozenset({"secretRef", "eventTypes"})
    secret: tuple[str, str]
    """Name and key."""
    event_types: frozenset[str]
    """Empty: every type."""

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> GitHub:
        """Raises ValueError where the params are not what Tekton defines."""
        reference = params.get("secretRef")
        if (
            not isinstance(reference, Mapping)
            or set(reference) != {"secretName", "secretKey"}
            or not all(isinstance(value, str) and value for value in reference.values())
        ):
            raise ValueError(
                f"got secretRef {reference!r}, expected secretName and secretKey; "
                "a webhook without a signature is not accepted"
            )
        types = params.get("eventTypes", [])
        if not isinstance(types, list) or not all(isinstance(item, str) for item in types):
            raise ValueError(f"got eventTypes {types!r}, expected a list of GitHub event names")
        secret = (reference["secretName"], reference["secretKey"])
        return cls(secret=secret, event_types=frozenset(types))

    def process(self, request: Request, secrets: Secrets) -> dict[str, Any]:
        """Check the signature, then the event's type."""
        header = request.headers.get(signature.HEADER)
        if problem := signature.problem(header, request.raw, secrets(*self.secret)):
            raise StoppedError(problem)
        event = request.headers.get("x-github-event", "")
        if self.event_types and event not in self.event_types:
            raise StoppedError(
                f"got the event {event!r}, expected one of {sorted(self.event_types)}"
            )
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cel:
    """A filter that must be true, and overlays that become extensions."""

    PARAMS: ClassVar[frozenset[str]] = frozenset({"filter", "overlays"})
    filter: str
    overlays: tuple[tuple[str, str], ...]
    """(key with dots for nesting, expression)."""

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> Cel:
        """Raises ValueError where the params or an expression are wrong."""
        condition = params.get("filter", "")
        overlays = params.get("overlays", [])
        if not isinstance(condition, str):
            raise ValueError(f"got filter {condition!r}, expected a CEL expression")
        if not isinstance(overlays, list) or not all(
            isinstance(item, Mapping)
            and set(item) == {"key", "expression"}
            and all(isinstance(value, str) and value for value in item.values())
            for item in overlays
        ):
            raise ValueError(f"got overlays {overlays!r}, expected a list of key and expression")
        pairs = tuple((item["key"], item["expression"]) for item in overlays)
        for expression in filter(None, [condition, *(pair[1] for pair in pairs)]):
            try:
                cel.compile_expression(expression)
            except cel.CelError as error:
                raise ValueError(str(error)) from None
        return cls(filter=condition, overlays=pairs)

    def process(self, request: Request, secrets: Secrets) -> dict[str, Any]:
        """Evaluate the filter, then the overlays."""
        context = request.context()
        added: dict[str, Any] = {}
        try:
            if self.filter and cel.evaluate(self.filter, context) is not True:
                raise StoppedError(f"the filter {self.filter!r} is not true")
            for key, expression in self.overlays:
                _nest(added, key, cel.evaluate(expression, context))
        except cel.CelError as error:
            raise StoppedError(str(error)) from None
        return added


_KINDS: dict[str, type[GitHub] | type[Cel]] = {"github": GitHub, "cel": Cel}


def build(name: str, params: Mapping[str, Any]) -> Interceptor:
    """The ClusterInterceptor `name` with its params.

    Raises:
        ValueError: unknown here, or params that it does not take.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise ValueError(f"got the interceptor {name!r}, expected one of {sorted(_KINDS)}")
    if unknown := sorted(set(params) - kind.PARAMS):
        raise ValueError(
            f"got the param {unknown[0]!r} for {name}, expected one of {sorted(kind.PARAMS)}"
        )
    return kind.build(params)


def _nest(target: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise StoppedError(f"the overlay {key!r} lies within another overlay's value")
    target[last] = value
