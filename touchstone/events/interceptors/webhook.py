"""Interceptors elsewhere, asked over HTTP: (Cluster)Interceptor objects, and the old webhook form.

An interceptor object is posted Tekton's InterceptorRequest and answers an InterceptorResponse. The
old form is posted the event itself, and what it answers with 200 takes the event's place.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from touchstone.events.headers import gathered
from touchstone.events.interceptors.interceptor import Passed, Request, Secrets, StoppedError
from touchstone.events.interceptors.params import SecretRef

_TIMEOUT = 5.0
_MAX_ANSWER = 1 << 20
_CODES = {3: "InvalidArgument", 5: "NotFound", 9: "FailedPrecondition", 13: "Internal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A ClusterInterceptor or Interceptor with an address."""

    kind: ClassVar[str] = "interceptor"
    name: str
    url: str
    ca: str
    """PEM; empty: the system's authorities."""
    params: Mapping[str, Any]

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """None that this listener knows of."""
        return frozenset()

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Post the request, honor continue, status and extensions."""
        document = {
            "body": request.raw.decode("utf-8", "replace"),
            "header": request.header_lists(),
            "extensions": dict(request.extensions),
            "interceptor_params": dict(self.params),
            "context": {
                "event_url": request.url,
                "event_id": request.event_id,
                "trigger_id": request.trigger,
            },
        }
        content = json.dumps(document).encode()
        answer = _post(self.url, content, [("content-type", "application/json")], ca=self.ca)
        if answer.status_code != 200:
            raise StoppedError(f"interceptor response was not 200: {answer.text[:500]}")
        try:
            response = answer.json()
            go_on = response.get("continue", False)
            status = response.get("status") or {}
            extensions = response.get("extensions") or {}
            message = f"{status.get('message', '')}"
            code = status.get("code", 0)
        except (ValueError, AttributeError):
            raise StoppedError(f"got no InterceptorResponse from {self.url}") from None
        if go_on is not True:
            name = _CODES.get(code, f"Code({code})")
            raise StoppedError(f"rpc error: code = {name} desc = {message}")
        if not isinstance(extensions, dict):
            raise StoppedError(f"got extensions from {self.url} that are no object")
        return Passed(extensions=extensions, notes=(f"{self.url} lets it go on",))

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Nothing to check here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldWebhook:
    """`webhook:` with objectRef or url: the event goes there and comes back changed."""

    kind: ClassVar[str] = "webhook"
    url: str
    headers: tuple[tuple[str, str], ...]
    """Added to what is posted, those of the same name replaced."""

    @property
    def secrets_used(self) -> frozenset[SecretRef]:
        """None that this listener knows of."""
        return frozenset()

    def process(self, request: Request, secrets: Secrets) -> Passed:
        """Post the event with its extensions in the body; take the answer in its place."""
        raw = request.raw
        if request.extensions:
            body = request.body
            if not isinstance(body, dict):
                raise StoppedError("could not merge extensions with body: it is no object")
            raw = json.dumps(
                {**body, "extensions": {**body.get("extensions", {}), **request.extensions}}
            ).encode()
        added = {"Eventlistener-Request-Url": request.url, **dict(self.headers)}
        sent = [
            (name, value)
            for name, values in request.header_lists().items()
            if name not in _OWN and name not in added
            for value in values
        ]
        answer = _post(self.url, raw, [*sent, *added.items()], ca="")
        if answer.status_code != 200:
            raise StoppedError(
                f"request rejected; status: {answer.status_code}; message: {answer.text[:500]}"
            )
        headers = gathered(answer.headers.multi_items())
        return Passed(raw=answer.content, headers=headers, notes=(f"{self.url} answered 200",))

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Nothing to check here."""


_OWN = ("Host", "Content-Length", "Connection", "Transfer-Encoding", "Accept-Encoding")
"""Headers that belong to one connection, not to the event."""


def _post(url: str, content: bytes, headers: list[tuple[str, str]], *, ca: str) -> Any:
    import httpx

    verify: ssl.SSLContext | bool = ssl.create_default_context(cadata=ca) if ca else True
    try:
        with httpx.Client(timeout=_TIMEOUT, verify=verify, trust_env=False) as client:
            answer = client.post(url, content=content, headers=headers)
    except httpx.TimeoutException:
        raise StoppedError(f"{url} did not answer within {_TIMEOUT:g} s") from None
    except httpx.HTTPError as error:
        raise StoppedError(f"{url} cannot be asked: {error or type(error).__name__}") from None
    if len(answer.content) > _MAX_ANSWER:
        raise StoppedError(f"{url} answered more than {_MAX_ANSWER} bytes")
    return answer
