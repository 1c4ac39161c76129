"""The interceptor `cel`: a filter that must be true, and overlays that become extensions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from touchstone.documents.cel import CelError, Dialect
from touchstone.events.interceptors.interceptor import Passed, Request, Secrets, StoppedError
from touchstone.events.interceptors.params import SecretRef, by_name

_PROOF = re.compile(
    r"[^!|?&]+\.compareSecret\(\s*(['\"])(?P<key>[^'\"]+)\1\s*,\s*(['\"])(?P<name>[^'\"]+)\3"
    r"\s*(,[^)]*)?\)"
)
DIALECT = Dialect("touchstone.events.cel_functions")
"""CEL with Tekton's variables and functions."""

_MOST_UNPROVED = 1 << 16
"""Bytes of a body that are parsed to find the proof of its sender in it; Slack sends some 500."""

_SHOWN = 200
"""Characters of a value that notes show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cel:
    """A filter and overlays."""

    kind: ClassVar[str] = "cel"
    filter: str
    overlays: tuple[tuple[str, str], ...]
    """(key with dots for nesting, expression)."""

    @classmethod
    def build(cls, params: Mapping[str, Any]) -> Cel:
        """Raises ValueError where the params or an expression are wrong."""
        params = by_name(params, ("filter", "overlays"), of=cls.kind)
        condition = params.get("filter", "")
        overlays = params.get("overlays", [])
        if not isinstance(condition, str):
            raise ValueError(f"got filter {condition!r}, expected a CEL expression")
        if not isinstance(overlays, list):
            raise ValueError(f"got overlays {overlays!r}, expected a list of key and expression")
        pairs = tuple(map(_overlay, overlays))
        for expression in filter(None, [condition, *(pair[1] for pair in pairs)]):
            try:
                DIALECT.compile(expression)
            except CelError as error:
                raise ValueError(str(error)) from None
        return cls(filter=condition, overlays=pairs)

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """Secrets of `….compareSecret('key', 'name')` that must hold for the filter to be true."""
        return frozenset(
            (match["name"], match["key"]) for match in map(_PROOF.fullmatch, self._parts()) if match
        )

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Evaluate the filter, then the overlays."""
        context = _context(request)
        notes: list[str] = []
        added: dict[str, Any] = {}
        try:
            if self.filter:
                value = DIALECT.evaluate(self.filter, context, secrets=secrets)
                if value is not True:
                    notes += self._explained(value, context, secrets)
                    raise StoppedError(
                        f"expression {self.filter} did not return true", notes=tuple(notes)
                    )
                notes.append(f"{self.filter} is true")
            for key, expression in self.overlays:
                value = DIALECT.evaluate(expression, context, secrets=secrets)
                if value is None:
                    raise CelError(f"got null for {key!r}, of which Tekton makes no JSON")
                _nest(added, key, value)
                notes.append(f"extensions.{key} = {_shown(value)}")
        except CelError as error:
            raise StoppedError(
                f"error evaluating cel expression: {error}", notes=tuple(notes)
            ) from None
        return Passed(extensions=added, notes=tuple(notes))

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Evaluate only those parts of the filter that compare a secret."""
        parts = [part for part in self._parts() if _PROOF.fullmatch(part)]
        # The body of a stranger is neither parsed nor turned into CEL's values without need.
        reads_body = any("body" in part for part in parts)
        if reads_body and len(request.raw) > _MOST_UNPROVED:
            raise StoppedError(
                f"got a body of {len(request.raw)} bytes, expected at most {_MOST_UNPROVED} where"
                " the proof of its sender lies in it"
            )
        context = _context(request.with_form_as_json() if reads_body else request, body=reads_body)
        for part in parts:
            try:
                if DIALECT.evaluate(part, context, secrets=secrets) is not True:
                    raise StoppedError(f"expression {part} did not return true")
            except CelError as error:
                raise StoppedError(f"error evaluating cel expression: {error}") from None

    def _parts(self) -> tuple[str, ...]:
        return conjuncts(self.filter)

    def _explained(self, value: Any, context: Mapping[str, Any], secrets: Secrets) -> Iterator[str]:
        parts = self._parts()
        if len(parts) == 1:
            yield f"{parts[0]} is {_shown(value)}"
            return
        for part in parts:
            try:
                yield f"{part} is {_shown(DIALECT.evaluate(part, context, secrets=secrets))}"
            except CelError as error:
                yield f"{part} is an error: {error}"


def _overlay(item: Any) -> tuple[str, str]:
    known = ("key", "expression")
    found = by_name(item, known, of="an overlay") if isinstance(item, Mapping) else {}
    if len(found) != 2 or not all(isinstance(value, str) and value for value in found.values()):
        raise ValueError(f"got the overlay {item!r}, expected key and expression")
    return found["key"], found["expression"]


@lru_cache(maxsize=1024)
def conjuncts(source: str) -> tuple[str, ...]:
    """The parts that `&&` joins at the top of the expression; the whole where there are none."""
    depth, start, quote = 0, 0, ""
    parts: list[str] = []
    position = 0
    while position < len(source):
        letter = source[position]
        if quote:
            position += letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif depth == 0 and (letter == "?" or source.startswith("||", position)):
            return (source.strip(),)
        elif depth == 0 and source.startswith("&&", position):
            parts.append(source[start:position].strip())
            start = position + 2
            position += 1
        position += 1
    return tuple(filter(None, [*parts, source[start:].strip()]))


def _context(request: Request, *, body: bool = True) -> dict[str, Any]:
    """CEL's variables; an empty object for the body where it is not asked for."""
    return {
        "body": request.body if body else {},
        "header": request.header_lists(),
        "requestURL": request.url,
        "extensions": dict(request.extensions),
    }


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _nest(target: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise StoppedError(f"the overlay {key!r} lies within another overlay's value")
    target[last] = value
